//! Serialization of definitions and filters: integers in native byte order, strings and byte
//! strings as `length: u32` and bytes, lists as `count: u32` and items.

use alloc::string::String;
use alloc::vec::Vec;

/// Appends fields.
pub struct Writer(pub Vec<u8>);

impl Writer {
    pub fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_ne_bytes());
    }

    pub fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_ne_bytes());
    }

    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u32(bytes.len() as u32);
        self.0.extend_from_slice(bytes);
    }

    pub fn list(&mut self, strings: &[String]) {
        self.u32(strings.len() as u32);
        strings.iter().for_each(|string| self.bytes(string.as_bytes()));
    }
}

/// Reads fields from the front of a slice. Methods return `None` if too few bytes are left.
pub struct Reader<'a>(pub &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub fn u32(&mut self) -> Option<u32> {
        self.take(4)?.try_into().ok().map(u32::from_ne_bytes)
    }

    pub fn u64(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_ne_bytes)
    }

    pub fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = self.u32()?;
        self.take(length as usize)
    }

    pub fn string(&mut self) -> Option<String> {
        Some(String::from_utf8_lossy(self.bytes()?).into_owned())
    }

    pub fn list(&mut self) -> Option<Vec<String>> {
        let count = self.u32()?;
        // Does not reserve memory for `count`, which may exceed what the bytes contain.
        (0..count).map(|_| self.string()).collect()
    }
}
