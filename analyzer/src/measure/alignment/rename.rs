//! Renames between two versions of a program, as `--map OLD=NEW` gives them.

use std::str::FromStr;

/// A rename: of a module with its submodules, or of a function or class with what is defined in it.
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
    /// The new module and qualified name of an old one; none if the rename does not apply to it.
    pub fn apply(&self, module: &str, qualname: &str) -> Option<(String, String)> {
        match (&self.old.qualname, &self.new.qualname) {
            (Some(old), Some(new)) => {
                let qualname =
                    (module == self.old.module).then(|| replace_prefix(qualname, old, new)).flatten()?;
                Some((self.new.module.clone(), qualname))
            }
            _ => {
                let module = replace_prefix(module, &self.old.module, &self.new.module)?;
                Some((module, qualname.to_owned()))
            }
        }
    }

    /// The text that the rename was parsed from.
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Replaces the leading components `old` of a dotted name by `new`; none if it does not begin with
/// them.
fn replace_prefix(name: &str, old: &str, new: &str) -> Option<String> {
    let rest = name.strip_prefix(old)?;
    (rest.is_empty() || rest.starts_with('.')).then(|| format!("{new}{rest}"))
}

impl FromStr for Rename {
    type Err = RenameError;

    fn from_str(text: &str) -> Result<Self, RenameError> {
        let error = || RenameError { text: text.into() };
        let (old, new) = text.split_once('=').ok_or_else(error)?;
        let (old, new) = (Name::parse(old).ok_or_else(error)?, Name::parse(new).ok_or_else(error)?);
        let is_same_kind = old.qualname.is_some() == new.qualname.is_some();
        is_same_kind.then_some(Rename { text: text.into(), old, new }).ok_or_else(error)
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

/// A text that is not a rename.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a rename; write OLD=NEW, such as shop.cart=shop.basket for a module or \
     shop:Cart.add=shop:Basket.add for a function or class"
)]
pub struct RenameError {
    text: String,
}

#[cfg(test)]
mod tests {
    //! Names to which a rename applies, and names to which it does not.

    use super::*;

    fn apply(rename: &str, module: &str, qualname: &str) -> Option<(String, String)> {
        rename.parse::<Rename>().expect("the rename is valid").apply(module, qualname)
    }

    #[test]
    fn a_module_is_renamed_with_its_submodules() {
        let to = |module: &str| Some((module.to_owned(), "f".to_owned()));
        assert_eq!(apply("shop.cart=shop.basket", "shop.cart", "f"), to("shop.basket"));
        assert_eq!(apply("shop=store.old", "shop.cart", "f"), to("store.old.cart"));
        assert_eq!(apply("shop=store", "shopping", "f"), None);
    }

    #[test]
    fn a_class_is_renamed_with_its_members() {
        let to = |module: &str, qualname: &str| Some((module.to_owned(), qualname.to_owned()));
        assert_eq!(apply("shop:Cart=shop:Basket", "shop", "Cart.add"), to("shop", "Basket.add"));
        assert_eq!(apply("shop:Cart.add=store:add", "shop", "Cart.add"), to("store", "add"));
        assert_eq!(apply("shop:Cart=shop:Basket", "shop", "Carts.add"), None);
        assert_eq!(apply("shop:Cart=shop:Basket", "shop.sub", "Cart.add"), None);
    }

    #[test]
    fn invalid_renames_are_rejected() {
        for text in ["", "a", "a=", "=b", "a:f=b", "a:=b:g", "a=b=c"] {
            assert!(text.parse::<Rename>().is_err(), "{text}");
        }
    }
}
