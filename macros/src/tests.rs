//! What the macros expand to, without a compiler behind them.

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;

use crate::kind::Kind;
use crate::{block, entry};

mod attributes;
mod expansion;
mod half_typed;

/// Expands a block macro called with this input; the runtime is at `krate::trio`.
fn expand(kind: Kind, input: &str) -> TokenStream {
    let input: TokenStream = input.parse().expect("the input is made of tokens");
    block(kind, quote!([krate::trio] #input))
}

/// The words and signs of a stream, groups opened.
fn flat(tokens: TokenStream) -> Vec<String> {
    let mut words = Vec::new();
    for tree in tokens {
        match tree {
            TokenTree::Group(group) => {
                let (open, close) = match group.delimiter() {
                    proc_macro2::Delimiter::Parenthesis => ("(", ")"),
                    proc_macro2::Delimiter::Brace => ("{", "}"),
                    proc_macro2::Delimiter::Bracket => ("[", "]"),
                    proc_macro2::Delimiter::None => ("", ""),
                };
                words.push(open.to_owned());
                words.extend(flat(group.stream()));
                words.push(close.to_owned());
            }
            other => words.push(other.to_string()),
        }
    }
    words
}

fn contains(words: &[String], part: &[String]) -> bool {
    words.windows(part.len()).any(|window| window == part)
}

/// The messages of the `compile_error!`s in an expansion.
fn messages(tokens: TokenStream) -> Vec<String> {
    let words = flat(tokens);
    let errors = words.windows(4).filter(|window| window[0] == "compile_error");
    errors.map(|window| window[3].trim_matches('"').replace("\\\"", "\"")).collect()
}
