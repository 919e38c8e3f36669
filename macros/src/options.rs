//! The options of `#[trio::main]` and `#[trio::test]`: `name` or `name = value`, with commas between.

use proc_macro2::{Ident, TokenStream, TokenTree};
use quote::ToTokens;
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, LitBool, LitInt, LitStr, Path, Token};

use crate::errors::Errors;

/// What one option takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// A path to the runtime: `crate = renamed`.
    Crate,
    /// Any expression.
    Expr,
    /// An integer from the first of these to the second.
    Int(u64, u64),
    /// Nothing, `true` or `false`.
    Flag,
    /// `"cancel"` or `"ignore"`.
    CtrlC,
}

/// The options that an attribute knows.
#[derive(Debug)]
pub(crate) struct Known(&'static [(&'static str, Value)]);

pub(crate) const MAIN: Known = Known(&[
    ("crate", Value::Crate),
    ("clock", Value::Expr),
    ("seed", Value::Int(0, u64::MAX)),
    ("instruments", Value::Expr),
    ("ctrl_c", Value::CtrlC),
]);

pub(crate) const TEST: Known = Known(&[
    ("crate", Value::Crate),
    ("autojump", Value::Flag),
    ("seed", Value::Int(0, u64::MAX)),
    ("schedules", Value::Int(1, u32::MAX as u64)),
    ("systematic", Value::Flag),
    ("checkpoint_budget", Value::Int(1, u32::MAX as u64)),
]);

/// The options given, checked.
pub(crate) struct Options {
    /// The path of the runtime.
    pub(crate) krate: TokenStream,

    /// The other options, as calls on the runtime's struct: `.seed(7)`.
    pub(crate) calls: TokenStream,
}

/// The value of one option.
enum Parsed {
    /// To be printed as it is.
    Tokens(TokenStream),
    /// The name of a variant of the runtime's `CtrlC`.
    CtrlC(&'static str),
}

impl Known {
    /// Reads every option, also those behind a wrong one.
    pub(crate) fn parse(&self, input: TokenStream, errors: &mut Errors) -> Options {
        let mut given = Vec::new();
        let parser = |input: ParseStream<'_>| {
            self.list(input, &mut given, errors);
            Ok(())
        };
        if let Err(error) = parser.parse2(input) {
            errors.push(error);
        }

        let is_crate = |name: &Ident| name == "crate";
        let krate = given.iter().find_map(|(name, value)| match value {
            Some(Parsed::Tokens(path)) if is_crate(name) => Some(path.clone()),
            _ => None,
        });
        let krate = krate.unwrap_or_else(|| ours!(::trio));
        let others = given.iter().filter(|(name, _)| !is_crate(name));
        let calls = others.map(|(name, value)| match value {
            Some(Parsed::Tokens(value)) => ours!(.#name(#value)),
            Some(Parsed::CtrlC(variant)) => {
                let variant = Ident::new(variant, name.span());
                ours!(.#name(#krate::CtrlC::#variant))
            }
            None => TokenStream::new(),
        });
        Options { calls: calls.collect(), krate }
    }

    /// Every option, each with its value unless that was wrong.
    fn list(&self, input: ParseStream<'_>, given: &mut Vec<(Ident, Option<Parsed>)>, errors: &mut Errors) {
        while !input.is_empty() {
            let option = self.name(input, given).and_then(|(name, expected)| {
                // The name counts as given before its value is known to be right.
                given.push((name.clone(), None));
                let value = value(input, &name, expected)?;
                if input.is_empty() || input.peek(Token![,]) {
                    return Ok(value);
                }
                let rest: TokenTree = input.parse()?;
                Err(syn::Error::new_spanned(rest, "expected `,` before the next option"))
            });
            match option {
                Ok(value) => given.last_mut().expect("the option was just added").1 = Some(value),
                Err(error) => errors.push(error),
            }
            skip_to_next(input);
        }
    }

    /// The name of an option that is known and not yet given.
    fn name(&self, input: ParseStream<'_>, given: &[(Ident, Option<Parsed>)]) -> syn::Result<(Ident, Value)> {
        let names = || self.0.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        let Ok(name) = input.call(Ident::parse_any) else {
            return Err(input.error(format!("expected an option: {}", names())));
        };
        let Some((_, expected)) = self.0.iter().find(|(known, _)| name == known) else {
            return Err(syn::Error::new_spanned(
                &name,
                format!("unknown option `{name}`; expected one of {}", names()),
            ));
        };
        if given.iter().any(|(earlier, _)| *earlier == name) {
            return Err(syn::Error::new_spanned(&name, format!("duplicate option `{name}`")));
        }
        Ok((name, *expected))
    }
}

/// `= value`, as this option takes it.
fn value(input: ParseStream<'_>, name: &Ident, expected: Value) -> syn::Result<Parsed> {
    if input.parse::<Option<Token![=]>>()?.is_none() {
        return match expected {
            Value::Flag => Ok(Parsed::Tokens(ours!(true))),
            _ => Err(syn::Error::new_spanned(
                name,
                format!("option `{name}` needs a value: `{name} = {}`", expected.example()),
            )),
        };
    }
    let wrong = || format!("option `{name}` takes {}: `{name} = {}`", expected.description(), expected.example());
    let found =
        input.cursor().token_tree().map(|(tree, _)| tree.to_token_stream()).unwrap_or_else(|| name.to_token_stream());
    let error = |_| syn::Error::new_spanned(&found, wrong());
    match expected {
        Value::Crate => Ok(Parsed::Tokens(input.call(Path::parse_mod_style).map_err(error)?.to_token_stream())),
        Value::Expr => Ok(Parsed::Tokens(input.parse::<Expr>().map_err(error)?.to_token_stream())),
        Value::Flag => Ok(Parsed::Tokens(input.parse::<LitBool>().map_err(error)?.to_token_stream())),
        Value::Int(least, most) => {
            let number: LitInt = input.parse().map_err(error)?;
            match number.base10_parse::<u64>() {
                Ok(value) if (least..=most).contains(&value) => Ok(Parsed::Tokens(number.to_token_stream())),
                _ => {
                    let message = format!("option `{name}` takes an integer from {least} to {most}");
                    Err(syn::Error::new_spanned(&number, message))
                }
            }
        }
        Value::CtrlC => {
            let text: LitStr = input.parse().map_err(error)?;
            match text.value().as_str() {
                "cancel" => Ok(Parsed::CtrlC("Cancel")),
                "ignore" => Ok(Parsed::CtrlC("Ignore")),
                _ => Err(syn::Error::new_spanned(&text, wrong())),
            }
        }
    }
}

impl Value {
    fn description(self) -> &'static str {
        match self {
            Self::Crate => "a path",
            Self::Expr => "an expression",
            Self::Int(..) => "an integer",
            Self::Flag => "`true` or `false`, or nothing",
            Self::CtrlC => "`\"cancel\"` or `\"ignore\"`",
        }
    }

    fn example(self) -> &'static str {
        match self {
            Self::Crate => "my_crate::trio",
            Self::Expr => "…",
            Self::Int(..) => "7",
            Self::Flag => "true",
            Self::CtrlC => "\"cancel\"",
        }
    }
}

/// Passes the rest of an option and the comma behind it.
fn skip_to_next(input: ParseStream<'_>) {
    while !input.is_empty() {
        if input.parse::<Option<Token![,]>>().is_ok_and(|comma| comma.is_some()) {
            return;
        }
        if input.parse::<TokenTree>().is_err() {
            return;
        }
    }
}
