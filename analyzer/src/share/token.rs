//! Words into tokens that stand for them.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// What was removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// A user's home directory.
    Home,
    /// A user's name.
    User,
    /// A machine's name.
    Host,
    /// The directory of the program itself.
    Project,
    /// Any other directory.
    Directory,
    /// Where a Python is installed.
    Python,
    /// An argument of a program.
    Argument,
    /// A thread's name.
    Thread,
    /// An audit event that is not CPython's.
    Audit,
}

impl Kind {
    /// What a person calls it.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Home => "home directory",
            Kind::User => "user",
            Kind::Host => "machine",
            Kind::Project => "project directory",
            Kind::Directory => "directory",
            Kind::Python => "place of a Python",
            Kind::Argument => "argument",
            Kind::Thread => "thread name",
            Kind::Audit => "audit event",
        }
    }

    /// What its tokens begin with.
    const fn word(self) -> &'static str {
        match self {
            Kind::Home | Kind::User => "user",
            Kind::Host => "host",
            Kind::Project | Kind::Directory => "dir",
            Kind::Python => "python",
            Kind::Argument => "arg",
            Kind::Thread => "thread",
            Kind::Audit => "audit",
        }
    }
}

/// What makes tokens one's own: the same word is the same token in all that one shares, and nobody else can try
/// words until one gives that token.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Key([u8; Key::BYTES]);

impl Key {
    /// How long a key is.
    pub const BYTES: usize = 16;

    /// Takes random bytes.
    pub fn new(bytes: [u8; Key::BYTES]) -> Key {
        Key(bytes)
    }

    /// `user_k3jd82hx`: a name in Python and in a path, whatever the word was.
    pub fn token(&self, kind: Kind, word: &str) -> String {
        const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let number = self.number(kind.word(), word);
        let digits = (0..8).map(|at| char::from(DIGITS[(number >> (5 * at) & 31) as usize]));
        format!("{}_{}", kind.word(), digits.collect::<String>())
    }

    /// A number that stands for a text.
    pub fn number(&self, domain: &str, text: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(domain.as_bytes());
        hasher.write_u8(0);
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for Key {
    /// Whoever has it can try words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

#[cfg(test)]
mod tests {
    //! Which words are the same.

    use super::*;

    #[test]
    fn a_token_is_of_the_word_the_kind_and_the_key() {
        let (ours, theirs) = (Key::new([1; Key::BYTES]), Key::new([2; Key::BYTES]));
        let token = ours.token(Kind::User, "ann");
        assert_eq!(token, ours.token(Kind::User, "ann"));
        assert_ne!(token, ours.token(Kind::User, "bob"));
        assert_ne!(token, theirs.token(Kind::User, "ann"));
        assert_ne!(token[5..], ours.token(Kind::Host, "ann")[5..]);
        assert!(token.starts_with("user_") && token.len() == 13, "{token}");
        assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{token}");
    }

    #[test]
    fn a_key_is_not_printed() {
        assert_eq!(format!("{:?}", Key::new([7; Key::BYTES])), "Key");
    }
}
