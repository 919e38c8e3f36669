//! The sources of `trio` form layers, and no layer imports one above it.
//!
//! This is what keeps the kernel small enough to be judged as a whole: all that a lock or a socket
//! does, it does through what the kernel offers to everybody. The table below is the one in
//! `DESIGN.md`, section 3, with each module in its row.

use std::collections::BTreeMap;

use crate::source::{self, Piece};

/// The layers, lowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Layer {
    Kernel,
    Primitives,
    Resources,
    Tools,
    /// `lib.rs`, which names everything and does nothing. No module may import from it.
    Facade,
}

/// The top modules of `runtime/src`. A new one fails the test until somebody has decided where it
/// belongs.
const MODULES: &[(&str, Layer)] = &[
    ("kernel", Layer::Kernel),
    // The part of the kernel that is public, for those who write primitives of their own.
    ("lowlevel", Layer::Primitives),
    // The block macros, which expand to calls of the kernel.
    ("macros", Layer::Primitives),
    ("sync", Layer::Primitives),
    ("channel", Layer::Primitives),
    ("interval", Layer::Primitives),
    ("rate_limiter", Layer::Primitives),
    ("for_each", Layer::Primitives),
    ("limited", Layer::Primitives),
    ("variables", Layer::Primitives),
    ("stream", Layer::Resources),
    ("buffered", Layer::Resources),
    ("threads", Layer::Resources),
    ("signals", Layer::Resources),
    ("net", Layer::Resources),
    ("tls", Layer::Resources),
    ("fd_stream", Layer::Resources),
    ("fs", Layer::Resources),
    ("process", Layer::Resources),
    ("testing", Layer::Tools),
    // Bridges to other libraries.
    ("compat", Layer::Tools),
    // What `#[trio::main]` and `#[trio::test]` run.
    ("attributes", Layer::Tools),
    ("lib", Layer::Facade),
];

#[test]
fn no_layer_imports_one_above_it() {
    let exports = exports(&source::read("runtime/src/lib.rs"));
    let wrong: Vec<String> = source::rust_files_below("runtime/src")
        .iter()
        .flat_map(|file| check(file, &source::read(file), MODULES, &exports))
        .collect();
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn the_table_names_only_modules_that_exist() {
    let files = source::rust_files_below("runtime/src");
    for (module, _) in MODULES {
        let (file, folder) = (format!("runtime/src/{module}.rs"), format!("runtime/src/{module}/"));
        assert!(files.iter().any(|name| *name == file || name.starts_with(&folder)), "there is no module `{module}`");
    }
}

/// Where the facade has each name from: `pub use kernel::run;` makes `crate::run` mean the module
/// `kernel`.
type Exports = BTreeMap<String, String>;

/// The complaints about one file.
fn check(file: &str, source: &str, modules: &[(&str, Layer)], exports: &Exports) -> Vec<String> {
    let layer_of = |module: &str| modules.iter().find(|(name, _)| *name == module).map(|(_, layer)| *layer);
    let home = module_path(file);
    let top = home.first().map_or("lib", String::as_str);
    let Some(layer) = layer_of(top) else {
        return vec![format!("{file}: the module `{top}` has no layer; give it one in tests/it/layers.rs")];
    };
    let mut wrong = Vec::new();
    for Import { path, line, .. } in imports(&home, source) {
        let name = path.first().map_or("", String::as_str);
        // An item of the facade counts as what the facade re-exports; what the facade defines
        // itself is above all.
        let module = exports.get(name).map_or(name, String::as_str);
        let imported = layer_of(module).unwrap_or(Layer::Facade);
        if imported > layer {
            let path = path.join("::");
            wrong.push(format!("{file}:{line}: {layer:?} may not import `crate::{path}`, which is {imported:?}"));
        }
    }
    wrong
}

/// The module that a file is: `runtime/src/net/tcp.rs` is `net::tcp`, and `lib.rs` is the root.
fn module_path(file: &str) -> Vec<String> {
    let path = file.strip_prefix("runtime/src/").unwrap_or(file);
    let path = path.strip_suffix(".rs").unwrap_or(path);
    let mut modules: Vec<String> = path.split('/').map(str::to_owned).collect();
    if modules.last().is_some_and(|last| last == "mod" || last == "lib") {
        modules.pop();
    }
    modules
}

/// A path that a file names, from the crate's root.
struct Import {
    /// Never empty. The `self` at the end of `a::{self}` is left out.
    path: Vec<String>,

    /// What the path is called from here on: its last name, or the one after `as`.
    name: String,

    line: usize,
}

/// Every path through `crate`, `super` or the crate's own name, wherever it stands: in a `use`, an
/// expression or a type.
fn imports(home: &[String], source: &str) -> Vec<Import> {
    let pieces = source::pieces(source::tokens("a source file", source));
    let mut imports = Vec::new();
    let mut at = 0;
    while at < pieces.len() {
        let before = |count: usize| at.checked_sub(count).map_or("", |before| pieces[before].text.as_str());
        // `$crate` in a macro is expanded in the user's crate, and in `super::super` only the first
        // begins a path.
        let goes_on = before(1) == ":" && before(3).ends_with(char::is_alphanumeric);
        let begins = before(1) != "$" && !goes_on && is_path(&pieces, at);
        let mut path = home.to_vec();
        path.extend(pieces[at].modules.iter().cloned());
        match pieces[at].text.as_str() {
            "crate" | "trio" if begins => path.clear(),
            "super" if begins => {
                path.pop();
            }
            "self" if begins => {}
            _ => {
                at += 1;
                continue;
            }
        }
        let mut next = at + 3;
        while pieces.get(next).is_some_and(|piece| piece.text == "super") {
            path.pop();
            next += if is_path(&pieces, next) { 3 } else { 1 };
        }
        names(&pieces, &mut next, &path, &mut imports);
        // Not past the names: a path may hold another one between its angle brackets.
        at += 3;
    }
    imports
}

/// Whether `::` follows the piece at this place.
fn is_path(pieces: &[Piece], at: usize) -> bool {
    matches!(pieces.get(at + 1..at + 3), Some([a, b]) if a.text == ":" && b.text == ":")
}

/// Reads what follows `crate::`: one name with more behind it, or a list of such in braces.
fn names(pieces: &[Piece], at: &mut usize, prefix: &[String], out: &mut Vec<Import>) {
    let Some(piece) = pieces.get(*at) else { return };
    if piece.text == "{" {
        *at += 1;
        while pieces.get(*at).is_some_and(|piece| piece.text != "}") {
            names(pieces, at, prefix, out);
            // On to the comma after this name, past `as other`.
            while pieces.get(*at).is_some_and(|piece| piece.text != "," && piece.text != "}") {
                *at += 1;
            }
            *at += usize::from(pieces.get(*at).is_some_and(|piece| piece.text == ","));
        }
        *at += 1;
        return;
    }
    let mut path = prefix.to_vec();
    if piece.text != "self" || path.is_empty() {
        path.push(piece.text.clone());
    }
    if is_path(pieces, *at) && !is_generic(pieces, *at + 3) {
        *at += 3;
        names(pieces, at, &path, out);
        return;
    }
    // An exported macro is in the root, wherever it is defined.
    if path.len() == 1 && pieces.get(*at + 1).is_some_and(|piece| piece.text == "!") {
        path.insert(0, "macros".to_owned());
    }
    let name = match pieces.get(*at + 1..*at + 3) {
        Some([word, name]) if word.text == "as" => name.text.clone(),
        _ => path[path.len() - 1].clone(),
    };
    *at += 1;
    out.push(Import { path, name, line: piece.line });
}

/// Whether `::` is followed by type arguments, as in `run::<T>()`.
fn is_generic(pieces: &[Piece], at: usize) -> bool {
    pieces.get(at).is_some_and(|piece| piece.text == "<")
}

/// Reads the facade's `use` lines.
fn exports(lib: &str) -> Exports {
    let pieces = source::pieces(source::tokens("lib.rs", lib));
    let mut imports = Vec::new();
    for at in (0..pieces.len()).filter(|&at| pieces[at].text == "use" && pieces[at].modules.is_empty()) {
        let from_root = matches!(pieces[at + 1].text.as_str(), "crate" | "self") && is_path(&pieces, at + 1);
        names(&pieces, &mut if from_root { at + 4 } else { at + 1 }, &[], &mut imports);
    }
    imports.into_iter().map(|Import { mut path, name, .. }| (name, path.swap_remove(0))).collect()
}

/// The complaints about a made-up file, for the tests of the test.
fn complaints(file: &str, source: &str) -> Vec<String> {
    let modules = [
        ("kernel", Layer::Kernel),
        ("macros", Layer::Primitives),
        ("sync", Layer::Primitives),
        ("net", Layer::Resources),
        ("fd_stream", Layer::Resources),
        ("process", Layer::Resources),
        ("testing", Layer::Tools),
        ("lib", Layer::Facade),
    ];
    let exports = exports(
        "pub use kernel::{run, task::{self, Task as Job}}; pub use crate::sync::Event; mod a { use net::Hidden; }",
    );
    check(file, source, &modules, &exports)
}

#[test]
fn an_import_from_below_is_fine() {
    for (file, source) in [
        ("runtime/src/sync.rs", "use crate::kernel::{a, b::{c, d as e}};"),
        (
            "runtime/src/net/tcp.rs",
            "use super::unix; use crate::{sync::Event, kernel}; fn f() { crate::run(crate::nursery! {}) }",
        ),
        ("runtime/src/kernel/run.rs", "use super::waker::*; use crate::Job; use std::net; use mio::net::Sync;"),
        ("runtime/src/kernel/run.rs", "use crate::{run, task, kernel::{self as k}};"),
        ("runtime/src/lib.rs", "mod net; pub use crate::testing::MockClock; pub use net::TcpStream;"),
        ("runtime/src/kernel/mod.rs", "#[cfg(test)] mod tests { use crate::testing::MockClock; } use self::run;"),
        ("runtime/src/kernel/mod.rs", "macro_rules! m { () => { $crate::testing::x() } }"),
        ("runtime/src/kernel/mod.rs", "/// See [`crate::testing`].\nfn f() { \"crate::net\"; /* crate::net */ }"),
        ("runtime/src/kernel/mod.rs", "mod inner { use super::super::kernel::x; }"),
    ] {
        assert_eq!(complaints(file, source), [""; 0], "{source}");
    }
}

#[test]
fn an_import_from_above_is_found() {
    for (file, source) in [
        ("runtime/src/kernel/run.rs", "use crate::sync::Event;"),
        ("runtime/src/kernel/run.rs", "use crate::{kernel::{self, x}, net::{self as n}};"),
        ("runtime/src/kernel/run.rs", "use crate::Event;"),
        ("runtime/src/kernel/run.rs", "use crate::Result;"),
        ("runtime/src/kernel/run.rs", "use crate::*;"),
        ("runtime/src/kernel/run.rs", "use super::super::net;"),
        ("runtime/src/kernel/mod.rs", "use super::net;"),
        ("runtime/src/kernel/mod.rs", "mod inner { use super::super::{net as n}; }"),
        ("runtime/src/kernel/run.rs", "fn f(x: Vec<crate::net::TcpStream>) {}"),
        ("runtime/src/kernel/run.rs", "fn f() { crate::kernel::f::<crate::net::TcpStream>() }"),
        ("runtime/src/kernel/run.rs", "fn f() { crate::nursery! { |n| } }"),
        ("runtime/src/kernel/run.rs", "use trio::testing;"),
        ("runtime/src/kernel/run.rs", "fn f() { ::trio::testing::f() }"),
        ("runtime/src/sync.rs", "#[cfg(feature = \"tls\")] use crate::net;"),
        ("runtime/src/net/tcp.rs", "pub(crate) use crate::testing;"),
        ("runtime/src/brand_new.rs", ""),
    ] {
        assert_eq!(complaints(file, source).len(), 1, "{source}: {:?}", complaints(file, source));
    }
    let [complaint] = complaints("runtime/src/sync.rs", "\nuse crate::kernel;\nuse crate::net;").try_into().unwrap();
    assert_eq!(complaint, "runtime/src/sync.rs:3: Primitives may not import `crate::net`, which is Resources");
}
