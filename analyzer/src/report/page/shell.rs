//! The outer part of a page: title, content security policy, styles, scripts, embedded data, trust
//! lines.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::escape::Printable;
use crate::measure::Trust;
use crate::report::json;
use crate::{Error, Result};

/// Styles of every page.
const STYLE: &str = concat!(include_str!("base.css"), include_str!("viewer.css"));

/// Scripts of every page, in the order of their dependencies.
const SCRIPT: &str = concat!(
    include_str!("dom.js"),
    include_str!("highlight.js"),
    include_str!("listing.js"),
    include_str!("minimap.js"),
    include_str!("data.js"),
    include_str!("file_list.js"),
    include_str!("search.js"),
    include_str!("viewer.js")
);

/// The values of the template `page/shell.html`, which reads them from the field `shell` of the
/// report's template.
#[derive(Debug)]
pub struct Shell {
    /// The title.
    pub title: String,
    /// The trust line of each recording.
    pub trust: Vec<String>,
    /// Whether a recording has losses, repairs or unreadable bytes, so that the trust lines are
    /// highlighted.
    pub is_doubtful: bool,
    /// The style sheet: the common styles, then the report's.
    pub style: String,
    /// The script: the common scripts, then the report's.
    pub script: String,
    /// The data that the script reads.
    pub data: Vec<EmbeddedData>,
}

impl Shell {
    /// The shell of a report. `trusts` has the trust line of each recording.
    pub fn new(
        title: &str,
        trusts: Vec<(String, &Trust)>,
        style: &str,
        script: &str,
        data: Vec<EmbeddedData>,
    ) -> Shell {
        let is_whole = |trust: &Trust| trust.lost_if_known() == Some(0) && trust.torn_bytes == 0;
        Shell {
            title: Printable(title).to_string(),
            is_doubtful: trusts.iter().any(|(_, trust)| !is_whole(trust) || trust.repaired.total() > 0),
            trust: trusts.into_iter().map(|(line, _)| line).collect(),
            style: format!("{STYLE}{style}"),
            script: format!("\"use strict\";\n{SCRIPT}{script}"),
            data,
        }
    }

    /// The content security policy: nothing is loaded or sent, and only this style sheet and this
    /// script are used.
    pub fn policy(&self) -> String {
        format!(
            "default-src 'none'; style-src '{}'; script-src '{}'; base-uri 'none'; form-action 'none'",
            hash(&self.style),
            hash(&self.script)
        )
    }
}

/// The source expression for an inline element in a content security policy.
fn hash(text: &str) -> String {
    format!("sha256-{}", BASE64_STANDARD.encode(Sha256::digest(text)))
}

/// A JSON value in a `script` element that browsers do not run. The page's script parses it.
#[derive(Clone, Debug)]
pub struct EmbeddedData {
    /// The id of the element.
    pub id: String,
    /// JSON without `<`, so that it cannot end the element.
    pub json: String,
}

impl EmbeddedData {
    /// Serializes a value.
    pub fn of(id: impl Into<String>, value: &impl Serialize) -> Result<EmbeddedData> {
        let mut text = Vec::new();
        json::write(value, &mut text).map_err(Error::Write)?;
        // JSON contains `<` only in strings. There `</script>` would end the element, and `<!--`
        // would change how it is parsed.
        let json = String::from_utf8_lossy(&text).trim_end().replace('<', "\\u003c");
        Ok(EmbeddedData { id: id.into(), json })
    }
}

#[cfg(test)]
mod tests {
    //! Hashes and embedded data.

    use super::*;

    #[test]
    fn the_hash_is_that_of_the_standards_example() {
        // The example of the CSP standard: printf "alert('Hello, world.');" | openssl dgst -sha256
        // -binary | base64
        assert_eq!(hash("alert('Hello, world.');"), "sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng=");
    }

    #[test]
    fn embedded_text_cannot_end_its_element() {
        let hostile = ["</script><script>alert(1)</script>", "<!--", "]]>", "\u{2028}\u{202e}\u{0}"];
        let data = EmbeddedData::of("d", &hostile).expect("the data is serialized");
        assert!(!data.json.contains('<') && !data.json.contains('\u{202e}'), "{}", data.json);
        assert_eq!(
            serde_json::from_str::<[String; 4]>(&data.json).expect("the output is valid JSON"),
            hostile
        );
    }
}
