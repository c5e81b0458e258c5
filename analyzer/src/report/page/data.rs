//! Data within a page.

use serde::Serialize;

use super::super::json;
use crate::{Error, Result};

/// A value that the page's scripts read, in an element that no browser runs.
#[derive(Clone, Debug)]
pub struct Data {
    /// What the element is called.
    pub id: String,
    /// JSON that can stand in an HTML element.
    pub json: String,
}

impl Data {
    /// Writes a value.
    pub fn of(id: impl Into<String>, value: &impl Serialize) -> Result<Data> {
        let mut text = Vec::new();
        json::write(value, &mut text).map_err(Error::Write)?;
        // Only within a string can there be such a sign, and `</script>` and `<!--` would end the element.
        let json = String::from_utf8_lossy(&text).trim_end().replace('<', "\\u003c");
        Ok(Data { id: id.into(), json })
    }
}

#[cfg(test)]
mod tests {
    //! What data looks like within a page.

    use super::*;

    #[test]
    fn no_text_ends_the_element_that_it_stands_in() {
        let nasty = ["</script><script>alert(1)</script>", "<!--", "]]>", "\u{2028}\u{202e}\u{0}"];
        let data = Data::of("d", &nasty).expect("it is written");
        assert!(!data.json.contains('<') && !data.json.contains('\u{202e}'), "{}", data.json);
        assert_eq!(serde_json::from_str::<[String; 4]>(&data.json).expect("JSON"), nasty);
    }
}
