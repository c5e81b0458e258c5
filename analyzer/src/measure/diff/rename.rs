//! Names that moved between two versions of a program.

use std::str::FromStr;

/// What has another name now: a module with all below it, or a function or class in one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    text: String,
    old: Name,
    new: Name,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Name {
    module: String,
    qualname: Option<String>,
}

impl Rename {
    /// What an old module, with a qualified name in it, is called now. None if this is about something else.
    pub fn apply(&self, module: &str, qualname: &str) -> Option<(String, String)> {
        match (&self.old.qualname, &self.new.qualname) {
            (Some(old), Some(new)) => {
                let moved = (module == self.old.module).then(|| moved(qualname, old, new)).flatten();
                moved.map(|qualname| (self.new.module.clone(), qualname))
            }
            _ => {
                moved(module, &self.old.module, &self.new.module).map(|module| (module, qualname.to_owned()))
            }
        }
    }

    /// As it was given.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// A dotted name after what it is, or lies in, was renamed.
fn moved(name: &str, old: &str, new: &str) -> Option<String> {
    let rest = name.strip_prefix(old)?;
    (rest.is_empty() || rest.starts_with('.')).then(|| format!("{new}{rest}"))
}

impl FromStr for Rename {
    type Err = RenameError;

    fn from_str(text: &str) -> Result<Self, RenameError> {
        let error = || RenameError { text: text.into() };
        let (old, new) = text.split_once('=').ok_or_else(error)?;
        let (old, new) = (Name::parse(old).ok_or_else(error)?, Name::parse(new).ok_or_else(error)?);
        let are_alike = old.qualname.is_some() == new.qualname.is_some();
        are_alike.then_some(Rename { text: text.into(), old, new }).ok_or_else(error)
    }
}

impl Name {
    fn parse(text: &str) -> Option<Name> {
        let (module, qualname) = match text.split_once(':') {
            Some((module, qualname)) => (module, Some(qualname)),
            None => (text, None),
        };
        let is_name = |name: &str| !name.is_empty() && !name.contains('=');
        (is_name(module) && qualname.is_none_or(is_name))
            .then(|| Name { module: module.into(), qualname: qualname.map(str::to_owned) })
    }
}

/// Something that names no two names.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` does not say what moved; write OLD=NEW, such as shop.cart=shop.basket for a module or \
     shop:Cart.add=shop:Basket.add for a function or class"
)]
pub struct RenameError {
    text: String,
}

#[cfg(test)]
mod tests {
    //! What moved, and what did not.

    use super::*;

    fn apply(rename: &str, module: &str, qualname: &str) -> Option<(String, String)> {
        rename.parse::<Rename>().expect("a rename").apply(module, qualname)
    }

    #[test]
    fn a_module_moves_with_all_below_it() {
        let to = |module: &str| Some((module.to_owned(), "f".to_owned()));
        assert_eq!(apply("shop.cart=shop.basket", "shop.cart", "f"), to("shop.basket"));
        assert_eq!(apply("shop=store.old", "shop.cart", "f"), to("store.old.cart"));
        assert_eq!(apply("shop=store", "shopping", "f"), None);
    }

    #[test]
    fn a_class_moves_with_all_in_it() {
        let to = |module: &str, qualname: &str| Some((module.to_owned(), qualname.to_owned()));
        assert_eq!(apply("shop:Cart=shop:Basket", "shop", "Cart.add"), to("shop", "Basket.add"));
        assert_eq!(apply("shop:Cart.add=store:add", "shop", "Cart.add"), to("store", "add"));
        assert_eq!(apply("shop:Cart=shop:Basket", "shop", "Carts.add"), None);
        assert_eq!(apply("shop:Cart=shop:Basket", "shop.sub", "Cart.add"), None);
    }

    #[test]
    fn what_names_no_two_names_is_refused() {
        for text in ["", "a", "a=", "=b", "a:f=b", "a:=b:g", "a=b=c"] {
            assert!(text.parse::<Rename>().is_err(), "{text}");
        }
    }
}
