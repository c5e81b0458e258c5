//! A validating reader for Thrift's compact protocol.
//!
//! The `parquet` crate allocates memory by a length before it checks that the bytes are there, and
//! iterates over lists whose items take no bytes. Therefore footers and page headers are checked
//! here first, against the types of Parquet's own structs, so that both readers interpret the same
//! bytes in the same way.

/// The type of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum FieldType {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List(&'static FieldType),
    Struct(StructType),
}

/// The known fields of a struct, by number. Other fields may occur, and are skipped.
pub(crate) type StructType = &'static [(i16, FieldType)];

/// The maximum nesting of structs and lists. Parquet's own structs nest five levels deep.
pub(crate) const MAX_NESTING: usize = 32;

/// Why bytes cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThriftError {
    /// The bytes end too early.
    Truncated,
    /// The bytes violate the protocol, a field's type, or [`MAX_NESTING`].
    Malformed,
}

pub(crate) type Result<T> = std::result::Result<T, ThriftError>;

/// The type ids of the compact protocol.
mod compact_type {
    pub(super) const STOP: u8 = 0;
    pub(super) const TRUE: u8 = 1;
    pub(super) const FALSE: u8 = 2;
    pub(super) const BYTE: u8 = 3;
    pub(super) const I16: u8 = 4;
    pub(super) const I32: u8 = 5;
    pub(super) const I64: u8 = 6;
    pub(super) const DOUBLE: u8 = 7;
    pub(super) const BINARY: u8 = 8;
    pub(super) const LIST: u8 = 9;
    pub(super) const SET: u8 = 10;
    pub(super) const STRUCT: u8 = 12;
}

impl FieldType {
    fn matches(self, type_id: u8) -> bool {
        match self {
            FieldType::Bool => matches!(type_id, compact_type::TRUE | compact_type::FALSE),
            FieldType::Byte => type_id == compact_type::BYTE,
            FieldType::I16 => type_id == compact_type::I16,
            FieldType::I32 => type_id == compact_type::I32,
            FieldType::I64 => type_id == compact_type::I64,
            FieldType::Double => type_id == compact_type::DOUBLE,
            FieldType::Binary => type_id == compact_type::BINARY,
            FieldType::List(_) => type_id == compact_type::LIST,
            FieldType::Struct(_) => type_id == compact_type::STRUCT,
        }
    }
}

/// Reads values from the front of a slice.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactReader<'a>(pub(crate) &'a [u8]);

impl<'a> CompactReader<'a> {
    /// Reads a struct with the known `fields`. Calls `visit` for each field with its number, its
    /// value if it is an integer, and a reader at the beginning of the value.
    pub(crate) fn read_struct(
        &mut self,
        fields: StructType,
        depth: usize,
        visit: &mut dyn FnMut(i16, Option<i64>, CompactReader<'a>) -> Result<()>,
    ) -> Result<()> {
        let mut last = 0i16;
        loop {
            let header = self.read_byte()?;
            let type_id = header & 0x0f;
            if type_id == compact_type::STOP {
                return Ok(());
            }
            let number = match header >> 4 {
                0 => i16::try_from(self.read_i64()?).map_err(|_| ThriftError::Malformed)?,
                step => last.checked_add(i16::from(step)).ok_or(ThriftError::Malformed)?,
            };
            last = number;
            let known = fields.iter().find(|&&(known, _)| known == number);
            if known.is_some_and(|(_, known)| !known.matches(type_id)) {
                return Err(ThriftError::Malformed);
            }
            let value = *self;
            let integer = self.skip_value(type_id, known.map(|&(_, known)| known), depth)?;
            visit(number, integer, value)?;
        }
    }

    /// Skips a value. Returns it if it is an integer.
    fn skip_value(&mut self, type_id: u8, known: Option<FieldType>, depth: usize) -> Result<Option<i64>> {
        let depth = depth.checked_sub(1).ok_or(ThriftError::Malformed)?;
        match type_id {
            compact_type::TRUE | compact_type::FALSE => {}
            compact_type::BYTE => drop(self.read_byte()?),
            compact_type::I16 | compact_type::I32 | compact_type::I64 => return self.read_i64().map(Some),
            compact_type::DOUBLE => drop(self.take(8)?),
            compact_type::BINARY => {
                let len = usize::try_from(self.read_varint()?).map_err(|_| ThriftError::Malformed)?;
                self.take(len)?;
            }
            compact_type::LIST | compact_type::SET => {
                let item = match known {
                    Some(FieldType::List(item)) => Some(*item),
                    _ => None,
                };
                self.skip_items(item, depth)?;
            }
            compact_type::STRUCT => {
                let fields = match known {
                    Some(FieldType::Struct(fields)) => fields,
                    _ => &[],
                };
                self.read_struct(fields, depth, &mut |_, _, _| Ok(()))?;
            }
            // Parquet has no maps.
            _ => return Err(ThriftError::Malformed),
        }
        Ok(None)
    }

    fn skip_items(&mut self, item: Option<FieldType>, depth: usize) -> Result<()> {
        let (count, type_id) = self.list_header()?;
        if count > 0 && item.is_some_and(|item| !item.matches(type_id)) {
            return Err(ThriftError::Malformed);
        }
        // Implementations disagree on whether booleans in lists take a byte. Parquet has no such
        // lists.
        if count > 0 && matches!(type_id, compact_type::STOP | compact_type::TRUE | compact_type::FALSE) {
            return Err(ThriftError::Malformed);
        }
        for _ in 0..count {
            self.skip_value(type_id, item, depth)?;
        }
        Ok(())
    }

    /// Reads the header of a list: the number of items, and their type id.
    pub(crate) fn list_header(&mut self) -> Result<(usize, u8)> {
        let header = self.read_byte()?;
        let count = match header >> 4 {
            15 => usize::try_from(self.read_varint()?).map_err(|_| ThriftError::Malformed)?,
            few => usize::from(few),
        };
        if count > self.0.len() { Err(ThriftError::Truncated) } else { Ok((count, header & 0x0f)) }
    }

    /// Skips a list of structs. Returns the number of structs and their bytes.
    pub(crate) fn skip_structs(&mut self, fields: StructType) -> Result<(usize, &'a [u8])> {
        let (count, _) = self.list_header()?;
        let before = self.0;
        for _ in 0..count {
            self.read_struct(fields, MAX_NESTING, &mut |_, _, _| Ok(()))?;
        }
        Ok((count, &before[..before.len() - self.0.len()]))
    }

    /// Reads a signed integer.
    pub(crate) fn read_i64(&mut self) -> Result<i64> {
        let number = self.read_varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn read_varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.read_byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ThriftError::Malformed)
    }

    fn read_byte(&mut self) -> Result<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ThriftError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}
