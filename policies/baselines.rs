//! Published rules, each as its authors state it, to be compared with.

pub mod carbon_scaler;
