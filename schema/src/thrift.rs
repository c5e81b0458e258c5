//! Thrift's compact protocol, as far as checking it takes.
//!
//! Parquet's reader trusts a length before it has seen what is so long, and walks lists that take no bytes. So what it is
//! given is walked here first: by the types that Parquet's own structs have, so that both see the same bytes.

/// What a field is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    Bool,
    Byte,
    I16,
    I32,
    I64,
    Double,
    Binary,
    List(&'static Type),
    Struct(Shape),
}

/// The fields of a struct by their numbers. Others may be there, and are passed over.
pub(crate) type Shape = &'static [(i16, Type)];

/// How deep structs and lists may lie in each other: Parquet's own are five deep.
pub(crate) const MAX_DEPTH: usize = 32;

/// Why bytes are not what they should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    /// There are too few of them.
    Short,
    /// No writer writes that.
    Malformed,
}

pub(crate) type Result<T> = std::result::Result<T, Flaw>;

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

impl Type {
    fn is_kind(self, kind: u8) -> bool {
        match self {
            Type::Bool => matches!(kind, kind::TRUE | kind::FALSE),
            Type::Byte => kind == kind::BYTE,
            Type::I16 => kind == kind::I16,
            Type::I32 => kind == kind::I32,
            Type::I64 => kind == kind::I64,
            Type::Double => kind == kind::DOUBLE,
            Type::Binary => kind == kind::BINARY,
            Type::List(_) => kind == kind::LIST,
            Type::Struct(_) => kind == kind::STRUCT,
        }
    }
}

/// Bytes that are walked from the front.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Walk<'a>(pub(crate) &'a [u8]);

impl<'a> Walk<'a> {
    /// Walks a struct. `seen` is told each field: its number, what it is if it is an integer, and where its value begins.
    pub(crate) fn fields(
        &mut self,
        shape: Shape,
        depth: usize,
        seen: &mut dyn FnMut(i16, Option<i64>, Walk<'a>) -> Result<()>,
    ) -> Result<()> {
        let mut last = 0i16;
        loop {
            let head = self.byte()?;
            let kind = head & 0x0f;
            if kind == kind::STOP {
                return Ok(());
            }
            let number = match head >> 4 {
                0 => i16::try_from(self.zigzag()?).map_err(|_| Flaw::Malformed)?,
                step => last.checked_add(i16::from(step)).ok_or(Flaw::Malformed)?,
            };
            last = number;
            let known = shape.iter().find(|&&(known, _)| known == number);
            if known.is_some_and(|(_, known)| !known.is_kind(kind)) {
                return Err(Flaw::Malformed);
            }
            let value = *self;
            let integer = self.value(kind, known.map(|&(_, known)| known), depth)?;
            seen(number, integer, value)?;
        }
    }

    /// Walks over a value. Gives it back if it is an integer.
    fn value(&mut self, kind: u8, known: Option<Type>, depth: usize) -> Result<Option<i64>> {
        let depth = depth.checked_sub(1).ok_or(Flaw::Malformed)?;
        match kind {
            kind::TRUE | kind::FALSE => {}
            kind::BYTE => drop(self.byte()?),
            kind::I16 | kind::I32 | kind::I64 => return self.zigzag().map(Some),
            kind::DOUBLE => drop(self.take(8)?),
            kind::BINARY => {
                let len = usize::try_from(self.varint()?).map_err(|_| Flaw::Malformed)?;
                self.take(len)?;
            }
            kind::LIST | kind::SET => {
                let item = match known {
                    Some(Type::List(item)) => Some(*item),
                    _ => None,
                };
                self.items(item, depth)?;
            }
            kind::STRUCT => {
                let shape = match known {
                    Some(Type::Struct(shape)) => shape,
                    _ => &[],
                };
                self.fields(shape, depth, &mut |_, _, _| Ok(()))?;
            }
            // Parquet has no maps.
            _ => return Err(Flaw::Malformed),
        }
        Ok(None)
    }

    fn items(&mut self, item: Option<Type>, depth: usize) -> Result<()> {
        let (count, kind) = self.list()?;
        if count > 0 && item.is_some_and(|item| !item.is_kind(kind)) {
            return Err(Flaw::Malformed);
        }
        // Their bytes are counted in two ways, and no list of Parquet's footers or pages holds any.
        if count > 0 && matches!(kind, kind::STOP | kind::TRUE | kind::FALSE) {
            return Err(Flaw::Malformed);
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
            15 => usize::try_from(self.varint()?).map_err(|_| Flaw::Malformed)?,
            few => usize::from(few),
        };
        if count > self.0.len() { Err(Flaw::Short) } else { Ok((count, head & 0x0f)) }
    }

    /// Walks over a list of structs. Gives how many there are, and their bytes.
    pub(crate) fn structs(&mut self, shape: Shape) -> Result<(usize, &'a [u8])> {
        let (count, _) = self.list()?;
        let from = self.0;
        for _ in 0..count {
            self.fields(shape, MAX_DEPTH, &mut |_, _, _| Ok(()))?;
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
        Err(Flaw::Malformed)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Flaw::Short)?;
        self.0 = rest;
        Ok(taken)
    }
}
