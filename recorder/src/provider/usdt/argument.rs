//! Parses the argument locations of a stapsdt note.
//!
//! An argument is `SIZE@OPERAND` with the operand in assembler syntax; a negative size means a
//! signed number:
//!
//! ```text
//! 8@%rbp             a register                    -4@$-1              a constant
//! -4@56(%rsp)        memory                        8@-8(%rbx,%rcx,8)   memory in a table
//! ```

/// A register's number in `markers.bpf.c`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u8);

/// Names of each register for widths of 8, 4, 2 and 1 bytes.
const REGISTERS: [[&str; 4]; 17] = [
    ["rax", "eax", "ax", "al"],
    ["rbx", "ebx", "bx", "bl"],
    ["rcx", "ecx", "cx", "cl"],
    ["rdx", "edx", "dx", "dl"],
    ["rsi", "esi", "si", "sil"],
    ["rdi", "edi", "di", "dil"],
    ["rbp", "ebp", "bp", "bpl"],
    ["rsp", "esp", "sp", "spl"],
    ["r8", "r8d", "r8w", "r8b"],
    ["r9", "r9d", "r9w", "r9b"],
    ["r10", "r10d", "r10w", "r10b"],
    ["r11", "r11d", "r11w", "r11b"],
    ["r12", "r12d", "r12w", "r12b"],
    ["r13", "r13d", "r13w", "r13b"],
    ["r14", "r14d", "r14w", "r14b"],
    ["r15", "r15d", "r15w", "r15b"],
    ["rip", "eip", "ip", ""],
];

impl Register {
    fn parse(name: &str) -> Option<Register> {
        let name = name.strip_prefix('%').filter(|name| !name.is_empty())?;
        let number = REGISTERS.iter().position(|names| names.contains(&name))?;
        Some(Register(number as u8))
    }
}

/// The location of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// In the instruction itself.
    Constant(i64),
    /// In a register.
    Register(Register),
    /// At `displacement + base + (index << scale)`.
    Memory {
        /// Added to the registers.
        displacement: i64,
        /// The register that points there.
        base: Register,
        /// The register that counts from there, and how far it is shifted.
        index: Option<(Register, u8)>,
    },
}

/// An argument of a marker site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Argument {
    /// Its location.
    pub operand: Operand,
    /// Its size in bytes: 1, 2, 4 or 8.
    pub bytes: u8,
    /// Whether its highest bit is a sign.
    pub signed: bool,
}

impl Argument {
    /// Parses an argument. `None` for an unsupported form.
    pub fn parse(text: &str) -> Option<Argument> {
        let (size, operand) = text.split_once('@')?;
        let size: i8 = size.parse().ok()?;
        let bytes = size.unsigned_abs();
        matches!(bytes, 1 | 2 | 4 | 8).then_some(())?;
        Some(Argument { operand: parse_operand(operand)?, bytes, signed: size < 0 })
    }

    /// Parses all arguments of a note.
    ///
    /// # Errors
    /// The text of the first unsupported argument.
    pub fn parse_all(text: &str) -> Result<Vec<Argument>, String> {
        split(text).map(|one| Argument::parse(one).ok_or_else(|| one.to_owned())).collect()
    }
}

/// Arguments are separated by spaces, and some assemblers put a space after a comma too.
fn split(text: &str) -> impl Iterator<Item = &str> {
    let starts = text
        .char_indices()
        .filter(|&(at, letter)| letter == '@' && text[..at].ends_with(|digit: char| digit.is_ascii_digit()));
    let starts: Vec<usize> =
        starts.map(|(at, _)| text[..at].rfind(' ').map_or(0, |space| space + 1)).collect();
    let ends: Vec<usize> = starts.iter().skip(1).copied().chain([text.len()]).collect();
    starts.into_iter().zip(ends).map(|(start, end)| text[start..end].trim())
}

fn parse_operand(text: &str) -> Option<Operand> {
    if let Some(constant) = text.strip_prefix('$') {
        return number(constant).map(Operand::Constant);
    }
    if text.starts_with('%') {
        return Register::parse(text).map(Operand::Register);
    }
    let (displacement, registers) = text.strip_suffix(')')?.split_once('(')?;
    let displacement = if displacement.is_empty() { 0 } else { number(displacement)? };
    let mut registers = registers.split(',').map(str::trim);
    let base = Register::parse(registers.next()?)?;
    let index = match (registers.next(), registers.next()) {
        (None, _) => None,
        (Some(index), scale) => Some((Register::parse(index)?, shift(scale.unwrap_or("1"))?)),
    };
    registers.next().is_none().then_some(Operand::Memory { displacement, base, index })
}

fn number(text: &str) -> Option<i64> {
    let (negative, digits) = text.strip_prefix('-').map_or((false, text), |digits| (true, digits));
    let value = match digits.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok()?,
        None => digits.parse().ok()?,
    };
    // The highest bit may be set: `$0xffffffffffffffff` is -1.
    Some(if negative { (value as i64).wrapping_neg() } else { value as i64 })
}

fn shift(scale: &str) -> Option<u8> {
    ["1", "2", "4", "8"].iter().position(|known| *known == scale).map(|shift| shift as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RBX: Register = Register(1);
    const RSP: Register = Register(7);

    fn memory(displacement: i64, base: Register) -> Operand {
        Operand::Memory { displacement, base, index: None }
    }

    #[test]
    fn every_shape_of_a_note() {
        let shapes = [
            ("8@%rbp", Operand::Register(Register(6)), 8, false),
            ("-4@%eax", Operand::Register(Register(0)), 4, true),
            ("-2@%r11w", Operand::Register(Register(11)), 2, true),
            ("1@%sil", Operand::Register(Register(4)), 1, false),
            ("-4@56(%rsp)", memory(56, RSP), 4, true),
            ("-4@-292(%rbp)", memory(-292, Register(6)), 4, true),
            ("8@(%rbx)", memory(0, RBX), 8, false),
            ("8@0x10(%rbx)", memory(16, RBX), 8, false),
            ("8@64(%rip)", memory(64, Register(16)), 8, false),
            ("-4@$-1", Operand::Constant(-1), 4, true),
            ("4@$0x2a", Operand::Constant(42), 4, false),
            ("8@$0xffffffffffffffff", Operand::Constant(-1), 8, false),
            (
                "8@-8(%rbx,%rcx,8)",
                Operand::Memory { displacement: -8, base: RBX, index: Some((Register(2), 3)) },
                8,
                false,
            ),
            (
                "8@(%rbx, %r12)",
                Operand::Memory { displacement: 0, base: RBX, index: Some((Register(12), 0)) },
                8,
                false,
            ),
        ];
        for (text, operand, bytes, signed) in shapes {
            assert_eq!(Argument::parse(text), Some(Argument { operand, bytes, signed }), "{text}");
        }
    }

    #[test]
    fn several_arguments_in_one_string() {
        let parsed = Argument::parse_all("8@%r14 8@-8(%rbx, %rcx, 8) -4@%ebp").expect("known shapes");
        assert_eq!(parsed.iter().map(|one| one.bytes).collect::<Vec<_>>(), [8, 8, 4]);
        assert_eq!(Argument::parse_all(""), Ok(vec![]));
    }

    #[test]
    fn names_what_it_cannot_read() {
        for text in [
            "8@%xmm0",
            "8@counter(%rip)",
            "3@%rax",
            "8@%",
            "8@(%rax",
            "8@$",
            "8@(%rax,%rbx,3)",
            "8@(%rax,%rbx,1,2)",
        ] {
            assert_eq!(Argument::parse_all(&format!("8@%rax {text}")), Err(text.to_owned()));
        }
    }
}
