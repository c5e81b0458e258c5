//! Tokens that replace secrets: keyed hashes of them.

use std::fmt;
use std::hash::Hasher;

use siphasher::sip::SipHasher24;

/// What a secret is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretKind {
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
    /// The prefix that a Python is installed in.
    Python,
    /// An argument of a program.
    Argument,
    /// The name that a program gave to a thread.
    Thread,
    /// An audit event that CPython does not raise itself.
    Audit,
}

impl SecretKind {
    /// The name in reports.
    pub const fn name(self) -> &'static str {
        match self {
            SecretKind::Home => "home directory",
            SecretKind::User => "user",
            SecretKind::Host => "machine",
            SecretKind::Project => "project directory",
            SecretKind::Directory => "directory",
            SecretKind::Python => "place of a Python",
            SecretKind::Argument => "argument",
            SecretKind::Thread => "thread name",
            SecretKind::Audit => "audit event",
        }
    }

    /// The prefix of its tokens.
    const fn prefix(self) -> &'static str {
        match self {
            SecretKind::Home | SecretKind::User => "user",
            SecretKind::Host => "host",
            SecretKind::Project | SecretKind::Directory => "dir",
            SecretKind::Python => "python",
            SecretKind::Argument => "arg",
            SecretKind::Thread => "thread",
            SecretKind::Audit => "audit",
        }
    }
}

/// The key of the hash that makes tokens.
///
/// One key gives the same token for a word in every trace, so traces that one user shares can be
/// compared. Without the key, a token cannot be tested against a list of words.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TokenKey([u8; TokenKey::BYTES]);

impl TokenKey {
    /// The length of a key in bytes.
    pub const BYTES: usize = 16;

    /// A key of these bytes, which must be random.
    pub fn new(bytes: [u8; TokenKey::BYTES]) -> TokenKey {
        TokenKey(bytes)
    }

    /// The token of a word, such as `user_k3jd82hx`: a valid Python identifier and path component,
    /// whatever the word is. It holds 40 bits of the hash.
    pub fn token(&self, kind: SecretKind, word: &str) -> String {
        const DIGITS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
        let number = self.number(kind.prefix(), word);
        let digits = (0..8).map(|at| char::from(DIGITS[(number >> (5 * at) & 31) as usize]));
        format!("{}_{}", kind.prefix(), digits.collect::<String>())
    }

    /// The keyed hash of a text (SipHash-2-4). Texts of different domains have unrelated hashes.
    pub fn number(&self, domain: &str, text: &str) -> u64 {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(domain.as_bytes());
        hasher.write_u8(0);
        hasher.write(text.as_bytes());
        hasher.finish()
    }
}

impl fmt::Debug for TokenKey {
    /// Omits the bytes: with them, tokens can be tested against lists of words.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

#[cfg(test)]
mod tests {
    //! What a token depends on.

    use super::*;

    #[test]
    fn a_token_depends_on_the_word_the_kind_and_the_key() {
        let [key, other_key] = [1, 2].map(|byte| TokenKey::new([byte; TokenKey::BYTES]));
        let token = key.token(SecretKind::User, "ann");
        assert_eq!(token, key.token(SecretKind::User, "ann"));
        assert_ne!(token, key.token(SecretKind::User, "bob"));
        assert_ne!(token, other_key.token(SecretKind::User, "ann"));
        assert_ne!(token[5..], key.token(SecretKind::Host, "ann")[5..]);
        assert!(token.starts_with("user_") && token.len() == 13, "{token}");
        assert!(token.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'), "{token}");
    }

    #[test]
    fn debug_output_omits_the_key() {
        assert_eq!(format!("{:?}", TokenKey::new([7; TokenKey::BYTES])), "TokenKey");
    }
}
