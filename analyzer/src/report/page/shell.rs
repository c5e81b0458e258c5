//! What stands around a page: head, policy, data.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use super::super::escape::Plain;
use super::{Data, SCRIPT, STYLE};
use crate::measure::Trust;

/// The part of a page that is not the report's own. The template `page/shell.html` looks for it under this name.
#[derive(Debug)]
pub struct Shell {
    /// The headline.
    pub title: String,
    /// How far to trust each recording.
    pub trust: Vec<String>,
    /// Whether something is missing or mended, so that the trust line stands out.
    pub is_doubtful: bool,
    /// Styles: those of every page, then the report's.
    pub style: String,
    /// Scripts: those of every page, then the report's.
    pub script: String,
    /// What scripts read.
    pub data: Vec<Data>,
}

impl Shell {
    /// The shell of a report with styles and scripts of its own, and a line on how far to trust each recording.
    pub fn new(
        title: &str,
        trusts: Vec<(String, &Trust)>,
        style: &str,
        script: &str,
        data: Vec<Data>,
    ) -> Shell {
        let is_whole = |trust: &Trust| trust.all_lost() == Some(0) && trust.torn_bytes == 0;
        Shell {
            title: Plain(title).to_string(),
            is_doubtful: trusts.iter().any(|(_, trust)| !is_whole(trust) || trust.repaired.total() > 0),
            trust: trusts.into_iter().map(|(line, _)| line).collect(),
            style: format!("{STYLE}{style}"),
            script: format!("\"use strict\";\n{SCRIPT}{script}"),
            data,
        }
    }

    /// Nothing is loaded, nothing is sent, and only this style and this script count.
    pub fn policy(&self) -> String {
        format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
            hash(&self.style),
            hash(&self.script)
        )
    }
}

/// What a content security policy knows an element's text by.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

#[cfg(test)]
mod tests {
    //! Hashes.

    use super::*;

    #[test]
    fn a_hash_is_what_browsers_compute() {
        // The example of the standard: printf "alert('Hello, world.');" | openssl dgst -sha256 -binary | base64
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }
}
