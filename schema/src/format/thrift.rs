//! Thrift's compact protocol, as far as checking it takes.
//!
//! Parquet's reader trusts a length before it has seen what is so long, and walks lists that take no bytes. So what it is
//! given is walked here first: by the types that Parquet's own structs have, so that both see the same bytes.

/// What a field is.
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

/// The fields of a struct by their numbers. Others may be there, and are passed over.
pub(crate) type StructType = &'static [(i16, FieldType)];

/// How deep structs and lists may lie in each other: Parquet's own are five deep.
pub(crate) const MAX_NESTING: usize = 32;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ThriftError {
    /// There are too few of them.
    Truncated,
    /// No writer writes that.
    Malformed,
}

pub(crate) type Result<T> = std::result::Result<T, ThriftError>;

/// Kinds of fields, as the protocol numbers them.
mod kind {
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
    fn is_kind(self, kind: u8) -> bool {
        match self {
            FieldType::Bool => matches!(kind, kind::TRUE | kind::FALSE),
            FieldType::Byte => kind == kind::BYTE,
            FieldType::I16 => kind == kind::I16,
            FieldType::I32 => kind == kind::I32,
            FieldType::I64 => kind == kind::I64,
            FieldType::Double => kind == kind::DOUBLE,
            FieldType::Binary => kind == kind::BINARY,
            FieldType::List(_) => kind == kind::LIST,
            FieldType::Struct(_) => kind == kind::STRUCT,
        }
    }
}

/// Bytes that are walked from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CompactReader<'a>(pub(crate) &'a [u8]);

impl<'a> CompactReader<'a> {
    /// Walks a struct. `seen` is told each field: its number, what it is if it is an integer, and where its value begins.
    pub(crate) fn fields(
        &mut self,
        fields: StructType,
        depth: usize,
        seen: &mut dyn FnMut(i16, Option<i64>, CompactReader<'a>) -> Result<()>,
    ) -> Result<()> {
        let mut last = 0i16;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == kind::STOP {
                return Ok(());
            }
            let number = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| ThriftError::Malformed)?,
                step => last.checked_add(i16::from(step)).ok_or(ThriftError::Malformed)?,
            };
            last = number;
            let known = fields.iter().find(|&&(known, _)| known == number);
            if known.is_some_and(|(_, known)| !known.is_kind(kind)) {
                return Err(ThriftError::Malformed);
            }
            let value = *self;
            let integer = self.value(kind, known.map(|&(_, known)| known), depth)?;
            seen(number, integer, value)?;
        }
    }

    /// Walks over a value. Gives it back if it is an integer.
    fn value(&mut self, kind: u8, known: Option<FieldType>, depth: usize) -> Result<Option<i64>> {
        let depth = depth.checked_sub(1).ok_or(ThriftError::Malformed)?;
        match kind {
            kind::TRUE | kind::FALSE => {}
            kind::BYTE => drop(self.byte()?),
            kind::I16 | kind::I32 | kind::I64 => return self.zigzag().map(Some),
            kind::DOUBLE => drop(self.take(8)?),
            kind::BINARY => {
                let len = usize::try_from(self.varint()?).map_err(|_| ThriftError::Malformed)?;
                self.take(len)?;
            }
            kind::LIST | kind::SET => {
                let item = match known {
                    Some(FieldType::List(item)) => Some(*item),
                    _ => None,
                };
                self.items(item, depth)?;
            }
            kind::STRUCT => {
                let fields = match known {
                    Some(FieldType::Struct(fields)) => fields,
                    _ => &[],
                };
                self.fields(fields, depth, &mut |_, _, _| Ok(()))?;
            }
            // Parquet has no maps.
            _ => return Err(ThriftError::Malformed),
        }
        Ok(None)
    }

    fn items(&mut self, item: Option<FieldType>, depth: usize) -> Result<()> {
        let (count, kind) = self.list()?;
        if count > 0 && item.is_some_and(|item| !item.is_kind(kind)) {
            return Err(ThriftError::Malformed);
        }
        // Their bytes are counted in two ways, and no list of Parquet's footers or pages holds any.
        if count > 0 && matches!(kind, kind::STOP | kind::TRUE | kind::FALSE) {
            return Err(ThriftError::Malformed);
        }
        for _ in 0..count {
            self.value(kind, item, depth)?;
        }
        Ok(())
    }

    /// The head of a list: how many items, and what kind.
    pub(crate) fn list(&mut self) -> Result<(usize, u8)> {
        let head = self.byte()?;
        let count = match head >> 4 {
            15 => usize::try_from(self.varint()?).map_err(|_| ThriftError::Malformed)?,
            few => usize::from(few),
        };
        if count > self.0.len() { Err(ThriftError::Truncated) } else { Ok((count, head & 0x0f)) }
    }

    /// Walks over a list of structs. Gives how many there are, and their bytes.
    pub(crate) fn structs(&mut self, fields: StructType) -> Result<(usize, &'a [u8])> {
        let (count, _) = self.list()?;
        let from = self.0;
        for _ in 0..count {
            self.fields(fields, MAX_NESTING, &mut |_, _, _| Ok(()))?;
        }
        Ok((count, &from[..from.len() - self.0.len()]))
    }

    /// An integer.
    pub(crate) fn zigzag(&mut self) -> Result<i64> {
        let number = self.varint()?;
        Ok((number >> 1) as i64 ^ -((number & 1) as i64))
    }

    fn varint(&mut self) -> Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(number);
            }
        }
        Err(ThriftError::Malformed)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(ThriftError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }
}
