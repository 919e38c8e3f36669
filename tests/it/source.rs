//! What the tests about the project's own text share: finding the files, and reading Rust as
//! tokens.
//!
//! Tokens rather than lines, so that a word in a comment, a string or a documentation example is
//! not taken for code.

use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// The folder that holds the whole workspace.
pub(crate) fn workspace() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().expect("the tests are a folder of the workspace").to_owned()
}

/// A file of the workspace as text.
pub(crate) fn read(name: &str) -> String {
    let path = workspace().join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Every file below a folder of the workspace, by its path from the workspace's root, in a fixed
/// order.
///
/// What cargo and git keep for themselves is left out.
pub(crate) fn files_below(folder: &str) -> Vec<String> {
    let root = workspace();
    let mut files = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        for entry in entries {
            let path = entry.expect("a folder that is listed can be read").path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() {
                if name != "target" && name != ".git" {
                    folders.push(path);
                }
            } else {
                let path = path.strip_prefix(&root).expect("found below the root");
                files.push(path.to_str().expect("the project's file names are plain").replace('\\', "/"));
            }
        }
    }
    assert!(!files.is_empty(), "{folder} is empty, so a test that looks at its files would prove nothing");
    files.sort();
    files
}

/// The Rust files below a folder of the workspace.
pub(crate) fn rust_files_below(folder: &str) -> Vec<String> {
    files_below(folder).into_iter().filter(|file| file.ends_with(".rs")).collect()
}

/// Reads a Rust file as tokens.
pub(crate) fn tokens(name: &str, source: &str) -> TokenStream {
    source.parse().unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// One piece of Rust in reading order.
#[derive(Debug)]
pub(crate) struct Piece {
    /// An identifier, a punctuation mark, a literal, or a bracket.
    pub(crate) text: String,
    /// Where it stands, counted from 1.
    pub(crate) line: usize,
    /// The inline modules that it stands in, outermost first.
    pub(crate) modules: Vec<String>,
}

/// The tokens as a flat list, where a group has become its two brackets and what is between; items
/// under `#[cfg(test)]` are left out.
pub(crate) fn pieces(tokens: TokenStream) -> Vec<Piece> {
    let mut out = Vec::new();
    flatten(tokens, &mut Vec::new(), &mut out);
    out
}

fn flatten(tokens: TokenStream, modules: &mut Vec<String>, out: &mut Vec<Piece>) {
    let mut tokens = tokens.into_iter().peekable();
    while let Some(token) = tokens.next() {
        let line = token.span().start().line;
        match &token {
            TokenTree::Group(group) => {
                // `mod name { … }`: what is inside stands one module deeper.
                let inline = match out.as_slice() {
                    [.., before, name] if before.text == "mod" && group.delimiter() == Delimiter::Brace => {
                        Some(name.text.clone())
                    }
                    _ => None,
                };
                let (open, close) = match group.delimiter() {
                    Delimiter::Parenthesis => ("(", ")"),
                    Delimiter::Brace => ("{", "}"),
                    Delimiter::Bracket => ("[", "]"),
                    Delimiter::None => ("", ""),
                };
                let end = group.span_close().end().line;
                out.push(Piece { text: open.to_owned(), line, modules: modules.clone() });
                modules.extend(inline.clone());
                flatten(group.stream(), modules, out);
                if inline.is_some() {
                    modules.pop();
                }
                out.push(Piece { text: close.to_owned(), line: end, modules: modules.clone() });
            }
            TokenTree::Punct(mark) if mark.as_char() == '#' => {
                let test = matches!(tokens.peek(), Some(TokenTree::Group(group))
                    if group.stream().to_string().replace(' ', "") == "cfg(test)");
                if test {
                    skip_item(&mut tokens);
                } else {
                    out.push(Piece { text: "#".to_owned(), line, modules: modules.clone() });
                }
            }
            other => out.push(Piece { text: other.to_string(), line, modules: modules.clone() }),
        }
    }
}

/// Passes over an item: to its closing brace, or to its semicolon.
fn skip_item(tokens: &mut impl Iterator<Item = TokenTree>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => return,
            TokenTree::Punct(mark) if mark.as_char() == ';' => return,
            _ => {}
        }
    }
}
