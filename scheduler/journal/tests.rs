//! The recovery rule against a disk that loses power, sectors and bits.

mod frames;
mod power;
mod real;
mod simdisk;
