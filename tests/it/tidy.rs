//! What reviewers would otherwise have to look for in every change.

use std::collections::BTreeSet;

use crate::source;

/// The files outside the kernel that may contain `unsafe`: each wraps one foreign handle, and says
/// here which.
const FOREIGN_HANDLES: &[(&str, &str)] = &[
    ("runtime/src/compat/hyper/cursor.rs", "hyper's buffers, which can be told safely only what is copied into them"),
    (
        "runtime/src/net/foreign.rs",
        "calls of the C library that have no safe form, and descriptors that a parent left open",
    ),
    ("runtime/src/process/pty.rs", "what a child does between fork and exec to get its terminal"),
];

const KERNEL: &str = "runtime/src/kernel/";

#[test]
fn unsafe_code_is_in_the_kernel_and_explained() {
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    for file in source::rust_files_below("runtime/src") {
        let text = source::read(&file);
        let places = unsafe_places(&text);
        if places.is_empty() {
            continue;
        }
        if FOREIGN_HANDLES.iter().any(|(name, _)| *name == file) {
            used.insert(file.clone());
        } else if !file.starts_with(KERNEL) {
            wrong.push(format!("{file}:{}: `unsafe` outside the kernel", places[0].line));
        }
        let lines: Vec<&str> = text.lines().collect();
        for place in places {
            if !is_explained(&lines, &place) {
                wrong.push(format!("{file}:{}: {} without {}", place.line, place.what, place.wants));
            }
        }
    }
    for (file, _) in FOREIGN_HANDLES {
        assert!(used.contains(*file), "{file} has no `unsafe` any more: take it off the list");
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

#[test]
fn every_other_module_forbids_unsafe_code() {
    let files = source::rust_files_below("runtime/src");
    let forbids = |file: &str| {
        let tokens = source::tokens(file, &source::read(file)).to_string();
        let folder = file.strip_suffix("mod.rs").unwrap_or("no folder");
        // Around a foreign handle it can only be denied, since what is forbidden can't be allowed below.
        let word = if FOREIGN_HANDLES.iter().any(|(name, _)| name.starts_with(folder)) { "deny" } else { "forbid" };
        tokens.replace(' ', "").contains(&format!("#![{word}(unsafe_code)]"))
    };
    let forbidding: BTreeSet<&str> = files.iter().map(String::as_str).filter(|file| forbids(file)).collect();
    // What a module forbids, it forbids in the modules below it too.
    let is_covered = |file: &str| {
        let folders = file.match_indices('/').map(|(end, _)| &file[..end]);
        let mut above = folders.flat_map(|folder| [format!("{folder}.rs"), format!("{folder}/mod.rs")]);
        forbidding.contains(file) || above.any(|module| forbidding.contains(module.as_str()))
    };
    let missing: Vec<&String> = files
        .iter()
        .filter(|file| !file.starts_with(KERNEL) && *file != "runtime/src/lib.rs")
        .filter(|file| FOREIGN_HANDLES.iter().all(|(name, _)| name != file))
        .filter(|file| !is_covered(file))
        .collect();
    assert!(missing.is_empty(), "these lack #![forbid(unsafe_code)]: {missing:#?}");
}

/// Where `unsafe` stands.
#[derive(Debug, PartialEq)]
struct Unsafe {
    line: usize,
    what: &'static str,
    /// The words that must stand above it.
    wants: &'static str,
}

/// Finds the blocks, impls and functions; a function pointer's type is none.
fn unsafe_places(source: &str) -> Vec<Unsafe> {
    let pieces = source::pieces(source::tokens("a source file", source));
    let mut places = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        if piece.text != "unsafe" {
            continue;
        }
        let mut next = pieces[at + 1..].iter().map(|piece| piece.text.as_str());
        let (what, wants) = match next.next() {
            Some("{") => ("an unsafe block", "// SAFETY:"),
            Some("impl") => ("an unsafe impl", "// SAFETY:"),
            Some("trait") => ("an unsafe trait", "# Safety"),
            // `unsafe extern "C" { … }` declares foreign items and `unsafe extern "C" fn` a
            // function.
            Some("extern") => match next.find(|&text| text == "fn" || text == "{") {
                Some("fn") if next.next() != Some("(") => ("an unsafe function", "# Safety"),
                Some("{") => ("a foreign block", "// SAFETY:"),
                _ => continue,
            },
            Some("fn") if next.next() != Some("(") => ("an unsafe function", "# Safety"),
            _ => continue,
        };
        places.push(Unsafe { line: piece.line, what, wants });
    }
    places
}

/// Whether the words are in the comment directly above the statement or item that the place is in.
fn is_explained(lines: &[&str], place: &Unsafe) -> bool {
    let mut in_comment = false;
    for line in lines[..place.line - 1].iter().rev().map(|line| line.trim()) {
        if line.starts_with("//") {
            in_comment = true;
            if line.contains(place.wants) {
                return true;
            }
        } else if line.starts_with("#[") && !in_comment {
            // An attribute may stand between.
        } else if in_comment || line.is_empty() || line.ends_with([';', '{', '}']) {
            return false;
        }
    }
    false
}

#[test]
fn unsafe_code_without_its_reason_is_found() {
    let explained = |source: &str| {
        let lines: Vec<&str> = source.lines().collect();
        unsafe_places(source).iter().map(|place| is_explained(&lines, place)).collect::<Vec<_>>()
    };
    assert_eq!(explained("// SAFETY: so.\nunsafe { f() }"), [true]);
    assert_eq!(explained("// SAFETY: so,\n// and so.\nlet x =\n    unsafe { f() };"), [true]);
    assert_eq!(explained("/// # Safety\n///\n/// So.\n#[inline]\nunsafe fn f() {}"), [true]);
    assert_eq!(explained("// SAFETY: so.\nunsafe impl Send for X {}"), [true]);
    assert_eq!(explained("type F = unsafe fn(*const ()); // unsafe { }\nconst S: &str = \"unsafe { }\";"), [false; 0]);
    assert_eq!(explained("unsafe { f() }"), [false]);
    assert_eq!(explained("// Fast.\nunsafe { f() }"), [false]);
    assert_eq!(explained("// SAFETY: so.\nlet x = 1;\nunsafe { f(x) }"), [false]);
    assert_eq!(explained("// SAFETY: so.\n\nunsafe impl Send for X {}"), [false]);
    assert_eq!(explained("// SAFETY: so.\nunsafe fn f() {}"), [false]);
    assert_eq!(explained("// SAFETY: so.\nunsafe { f() }\nunsafe { f() }"), [true, false]);
}

/// The value of `key = "value"` in a manifest, where the first line that holds `key` is taken.
fn setting(manifest: &str, key: &str) -> Option<String> {
    let line = manifest.lines().find(|line| line.trim_start().starts_with(&format!("{key} =")))?;
    line.split('"').nth(1).map(str::to_owned)
}

#[test]
fn the_crates_have_one_version() {
    let workspace = source::read("Cargo.toml");
    let version = setting(&workspace, "version").expect("the workspace has a version");
    for crate_name in ["trio", "trio-macros"] {
        let line = workspace.lines().find(|line| line.starts_with(&format!("{crate_name} = {{ path")));
        let line = line.unwrap_or_else(|| panic!("{crate_name} is not among the workspace's dependencies"));
        // A pin: the two are released together, and a `trio` with other macros than its own would
        // not build.
        let pin = format!("version = \"={version}\"");
        assert!(line.contains(&pin), "{line}: expected {pin}");
    }
    for member in ["runtime", "macros", "tests", "examples", "benches"] {
        let manifest = source::read(&format!("{member}/Cargo.toml"));
        for line in ["version.workspace = true", "edition.workspace = true", "[lints]\nworkspace = true"] {
            assert!(manifest.contains(line), "{member}/Cargo.toml: no `{}`", line.replace('\n', " "));
        }
    }
}

#[test]
fn the_changelog_is_open() {
    let changelog = source::read("CHANGELOG.md");
    let headings: Vec<&str> = changelog.lines().filter(|line| line.starts_with("## ")).collect();
    assert_eq!(headings.first(), Some(&"## Unreleased"), "the next version stands at the top");
    let different: BTreeSet<_> = headings.iter().collect();
    assert_eq!(different.len(), headings.len(), "each version has one heading: {headings:?}");
}

#[test]
fn the_readme_gives_the_two_commands_and_its_links_lead_somewhere() {
    let readme = source::read("README.md");
    for command in ["cargo run --example quickstart", "cargo test"] {
        assert!(readme.lines().any(|line| line.trim() == command), "README.md: no line `{command}`");
    }
    for file in ["README.md", "CHANGELOG.md", "DESIGN.md"] {
        for link in source::read(file).split("](").skip(1).filter_map(|rest| rest.split([')', '#']).next()) {
            let elsewhere = link.is_empty() || link.contains("://") || link.starts_with("mailto:");
            assert!(elsewhere || source::workspace().join(link).exists(), "{file}: the link {link} leads nowhere");
        }
    }
}

/// A path of somebody's machine, or the host of a registry, works there only.
#[test]
fn nothing_names_a_machine() {
    // Put together here, so that this file doesn't name them either.
    let folders = ["tmp", "root", "home", "work"].map(|folder| format!("/{folder}/"));
    let hosts = ["index.crates", "static.crates", "registry.npmjs", "pythonhosted", "deb.debian"];
    let hosts = hosts.map(|host| format!("{host}.{}", if host.contains("crates") { "io" } else { "org" }));
    let mut wrong = Vec::new();
    for file in source::files_below(".") {
        // Cargo writes the lock file, and git the file that a worktree has for a repository. What is no text is no text
        // of ours.
        let text = std::fs::read_to_string(source::workspace().join(&file));
        let (Ok(text), false) = (text, file == "Cargo.lock" || file == ".git") else {
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            for word in folders.iter().chain(&hosts).filter(|word| line.contains(*word)) {
                wrong.push(format!("{file}:{}: {word}", number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}
