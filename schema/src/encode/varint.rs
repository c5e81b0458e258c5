//! Variable-length integers, as Parquet's encodings and Thrift's compact protocol use them.

/// The maximum length of an encoded `u64`.
pub(crate) const MAX_VARINT_BYTES: usize = 10;

/// Appends an unsigned integer as ULEB128: seven bits a byte, lowest bits first.
pub(crate) fn put_varint(mut value: u64, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Maps signed integers of small magnitude to small unsigned integers: 0, -1, 1, -2 to 0, 1, 2, 3.
pub(crate) fn zigzag(value: i64) -> u64 {
    ((value << 1) ^ (value >> 63)) as u64
}
