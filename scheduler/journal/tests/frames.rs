use crate::journal::frame::{Bad, HEAD, Header, Kind, expected, intact, put};
use proptest::prelude::*;

// Both golden values were computed apart from this code, from the table of the format alone.

const ID: [u8; 16] = *b"0123456789abcdef";

#[test]
fn golden_bytes_of_a_frame() {
    let mut bytes = Vec::new();
    put(
        &mut bytes,
        &ID,
        &[0; 32],
        Kind::Turn,
        (1, 0, 1_795_453_500_000_000),
        b"[\"public\"]",
        b"salt-salt-salt-!private",
    );
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    assert_eq!(hex, include_str!("frame.golden").trim());
}

#[test]
fn golden_checksum_of_a_header() {
    let block = Header { id: ID, first: 7, before: [3; 32] }.block();
    assert_eq!(&block[..8], b"NEAPJRN1");
    assert_eq!(block[4_092..], 0xb4b7_03d5u32.to_le_bytes());
    assert_eq!(Header::read(&block), Ok(Header { id: ID, first: 7, before: [3; 32] }));
}

proptest! {
    #[test]
    fn a_frame_comes_back_and_every_flip_is_seen(
        public in proptest::collection::vec(any::<u8>(), 0..300),
        private in proptest::collection::vec(any::<u8>(), 0..300),
        seq in 1u64..1_000_000, at in any::<i64>(), bit in any::<usize>(),
    ) {
        let (mut bytes, before) = (Vec::new(), [9; 32]);
        let chain = put(&mut bytes, &ID, &before, Kind::Turn, (seq, seq - 1, at), &public, &private);
        let frame = expected(&bytes, &ID, &before, seq).expect("just written");
        prop_assert_eq!((frame.public, frame.private, frame.at, frame.chain), (&public[..], &private[..], at, chain));
        prop_assert_eq!(frame.length, bytes.len());
        prop_assert_eq!(bytes.len() % 8, 0);
        prop_assert_eq!(expected(&bytes, &ID, &before, seq + 1), Err(Bad::Misplaced));
        prop_assert_eq!(expected(&bytes, &ID, &chain, seq), Err(Bad::Misplaced));
        let bit = bit % (bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(expected(&bytes, &ID, &before, seq).is_err());
    }

    #[test]
    fn arbitrary_bytes_are_no_frame(bytes in proptest::collection::vec(any::<u8>(), 0..HEAD * 3)) {
        prop_assert!(intact(&bytes, &ID).is_err());
        prop_assert!(Header::read(&bytes).is_err());
    }
}
