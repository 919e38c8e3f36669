//! The table's last column: each public item of a primitive is shown in an example that is run.

use std::collections::BTreeSet;

use super::FILES;
use crate::source::{self, Piece};

const ROOT: &str = "runtime/src/";

/// Where there is nothing but primitives.
const FOLDERS: [&str; 2] = ["sync/", "channel/"];

#[test]
fn every_primitive_has_a_row() {
    let rows: BTreeSet<String> = FILES.iter().map(|file| format!("{ROOT}{file}")).collect();
    let files: Vec<String> =
        FOLDERS.iter().flat_map(|folder| source::rust_files_below(&format!("{ROOT}{folder}"))).collect();
    let waits = |file: &String| items(&source::read(file)).iter().any(|item| item.waits);
    let missing: Vec<&String> = files.iter().filter(|file| waits(file) && !rows.contains(*file)).collect();
    assert!(missing.is_empty(), "these have operations that wait, and no row in the table: {missing:#?}");
}

#[test]
fn every_public_item_is_shown_in_an_example() {
    let mut missing = Vec::new();
    let files: BTreeSet<&str> = FILES.iter().copied().collect();
    for file in files {
        missing.extend(without_example(&source::read(&format!("{ROOT}{file}"))).map(|item| format!("{file}: {item}")));
    }
    assert!(missing.is_empty(), "no example shows these: {missing:#?}");
}

#[test]
fn an_item_without_an_example_is_found() {
    let source = "
        /// A thing.
        ///
        /// ```
        /// let thing = Thing::new();
        /// thing.shown();
        /// ```
        /// thing.talked_about()
        /// ```compile_fail
        /// thing.fails();
        /// ```
        pub struct Thing;
        impl<T> Thing<T> {
            pub const fn new() -> Self {}
            #[inline]
            pub async fn shown(&self) {}
            pub fn talked_about(&self) {}
            pub fn fails(&self) {}
            pub(crate) fn hidden(&self) {}
            /// ```
            /// it.has_its_own();
            /// ```
            pub fn own(&self) {}
        }
        /// No example.
        pub struct Bare { pub field: u32 }
        impl Bare { pub fn method(&self) -> impl Future<Output = ()> {} }
        pub fn free() {}
        #[cfg(test)]
        mod tests { pub fn test() {} }
    ";
    let missing: Vec<String> = without_example(source).collect();
    assert_eq!(missing, ["Thing::talked_about", "Thing::fails", "Bare", "Bare::method", "free"]);
    let waits: Vec<String> = items(source).into_iter().filter(|item| item.waits).map(|item| item.name).collect();
    assert_eq!(waits, ["shown", "method"]);
}

/// A public function or type.
struct Item {
    /// The type that a function belongs to.
    owner: Option<String>,
    name: String,
    is_type: bool,
    /// Whether it is a function that gives a future.
    waits: bool,
    /// The examples in its documentation.
    examples: String,
}

/// The names of the items that are neither shown in an example of their own nor in another one of their file.
///
/// A type that has no functions of its own is shown by the function that gives it.
fn without_example(source: &str) -> impl Iterator<Item = String> {
    let items = items(source);
    let shown: String = items.iter().map(|item| item.examples.as_str()).collect();
    let missing: Vec<String> = items.iter().filter(|item| !is_shown(item, &items, &shown)).map(full_name).collect();
    missing.into_iter()
}

fn is_shown(item: &Item, items: &[Item], shown: &str) -> bool {
    if !item.examples.is_empty() {
        return true;
    }
    let name = &item.name;
    if item.is_type {
        let own: Vec<_> = items.iter().filter(|other| other.owner.as_ref() == Some(name)).collect();
        return own.is_empty() || own.iter().any(|function| !function.examples.is_empty());
    }
    match &item.owner {
        Some(owner) => shown.contains(&format!(".{name}(")) || shown.contains(&format!("{owner}::{name}(")),
        None => shown.contains(&format!("{name}(")),
    }
}

fn full_name(item: &Item) -> String {
    item.owner.iter().chain([&item.name]).map(String::as_str).collect::<Vec<_>>().join("::")
}

/// Finds the public functions and types of a file.
fn items(source: &str) -> Vec<Item> {
    let pieces = source::pieces(source::tokens("a source file", source));
    let text = |at: usize| pieces.get(at).map_or("", |piece| piece.text.as_str());
    let (mut items, mut docs) = (Vec::new(), String::new());
    let mut block: Option<Block> = None;
    let mut at = 0;
    while at < pieces.len() {
        if text(at) == "#" && text(at + 1) == "[" {
            if text(at + 2) == "doc" {
                docs.push_str(text(at + 4).trim_matches('"'));
                docs.push('\n');
            }
            at = end_of_group(&pieces, at + 1);
            continue;
        }
        if text(at) == "impl" && block.as_ref().is_none_or(|block| block.end <= at) {
            block = Some(Block::at(&pieces, at));
        }
        if text(at) == "pub" {
            let kind = (at + 1..).find(|&at| !["const", "async", "unsafe"].contains(&text(at))).unwrap_or(at);
            if ["struct", "enum", "fn"].contains(&text(kind)) {
                let head = pieces[at..].iter().map(|piece| piece.text.as_str());
                let head: Vec<&str> = head.take_while(|text| !["{", ";"].contains(text)).collect();
                let is_type = text(kind) != "fn";
                items.push(Item {
                    owner: block.as_ref().filter(|block| at < block.end).map(|block| block.name.clone()),
                    name: text(kind + 1).to_owned(),
                    is_type,
                    waits: !is_type
                        && (head.contains(&"async") || head.windows(2).any(|pair| pair == ["impl", "Future"])),
                    examples: examples(&docs),
                });
                at = kind;
            }
        }
        docs.clear();
        at += 1;
    }
    items
}

/// An `impl` block.
struct Block {
    /// The type's name.
    name: String,
    /// Behind its closing brace.
    end: usize,
}

impl Block {
    fn at(pieces: &[Piece], start: usize) -> Self {
        let open = (start..pieces.len()).find(|&at| pieces[at].text == "{").unwrap_or(start);
        // The first name that is none of a parameter.
        let mut depth = 0;
        let mut head = pieces[start + 1..open].iter().map(|piece| piece.text.as_str());
        let name = head.find(|text| {
            depth += i32::from(*text == "<") - i32::from(*text == ">");
            depth == 0 && *text != ">"
        });
        Self { name: name.unwrap_or_default().to_owned(), end: end_of_group(pieces, open) }
    }
}

/// Behind the bracket that closes the one here.
fn end_of_group(pieces: &[Piece], open: usize) -> usize {
    let mut depth = 0;
    let close = pieces[open..].iter().position(|piece| {
        depth += match piece.text.as_str() {
            "(" | "[" | "{" => 1,
            ")" | "]" | "}" => -1,
            _ => 0,
        };
        depth == 0
    });
    close.map_or(pieces.len(), |close| open + close + 1)
}

/// The code in a documentation that is compiled and run.
fn examples(docs: &str) -> String {
    let mut code = String::new();
    let mut fence = None;
    for line in docs.lines() {
        match (line.trim().strip_prefix("```"), fence) {
            (Some(kind), None) => fence = Some(kind),
            (Some(_), Some(_)) => fence = None,
            (None, Some("")) => {
                code.push_str(line);
                code.push('\n');
            }
            (None, _) => {}
        }
    }
    code
}
