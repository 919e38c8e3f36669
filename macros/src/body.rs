//! A body's tokens: parsed, its exits replaced, and printed; as far as they can be parsed.
//!
//! While somebody types, a body is broken most of the time. What can't be parsed is handed on as
//! it is, so that rustc reports it and rust-analyzer completes in it, and everything around it is
//! treated as ever: an editor compares the expansion of the broken body with that of the same
//! body with an identifier put in at the cursor, and the two must not differ before that place.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::visit_mut::VisitMut;
use syn::{Block, Expr, Stmt, Token};

use crate::exits::Exits;

/// Stands in for the field or method that is missing after a dot; nobody's identifier.
const MISSING: &str = "__trio_missing";

/// Replaces the exits in a body, and notes a syntax error, if there is one.
pub(crate) fn rewrite(body: TokenStream, exits: &mut Exits<'_>) -> TokenStream {
    match Block::parse_within.parse2(body.clone()) {
        Ok(statements) => statements.into_iter().map(|statement| visited(statement, exits)).collect(),
        Err(error) => {
            exits.errors.push(error);
            salvage(body, exits)
        }
    }
}

fn visited(mut statement: Stmt, exits: &mut Exits<'_>) -> TokenStream {
    exits.visit_stmt_mut(&mut statement);
    statement.into_token_stream()
}

/// Statement by statement: what parses is treated as ever, what doesn't as well as can be.
fn salvage(body: TokenStream, exits: &mut Exits<'_>) -> TokenStream {
    let parser = |input: ParseStream<'_>| {
        let mut output = TokenStream::new();
        while !input.is_empty() {
            let ahead = input.fork();
            if let Ok(statement) = ahead.parse::<Stmt>() {
                input.advance_to(&ahead);
                output.extend(visited(statement, exits));
            } else {
                output.extend(broken(piece(input)?, exits));
            }
        }
        Ok(output)
    };
    parser.parse2(body).unwrap_or_default()
}

/// The tokens up to where the next statement may begin: behind a semicolon or a pair of braces.
fn piece(input: ParseStream<'_>) -> syn::Result<Vec<TokenTree>> {
    let mut piece = Vec::new();
    while !input.is_empty() {
        let tree: TokenTree = input.parse()?;
        let ends = match &tree {
            TokenTree::Punct(punct) => punct.as_char() == ';',
            TokenTree::Group(group) => group.delimiter() == Delimiter::Brace && !input.peek(Token![else]),
            _ => false,
        };
        piece.push(tree);
        if ends {
            break;
        }
    }
    Ok(piece)
}

/// A piece that is no statement. Often only a name after a dot is missing, because that is what
/// is about to be typed; with one put in, it may be a statement after all.
fn broken(piece: Vec<TokenTree>, exits: &mut Exits<'_>) -> TokenStream {
    if let Some(completed) = completed(&piece) {
        if let Ok(statements) = Block::parse_within.parse2(completed) {
            let output = statements.into_iter().map(|statement| visited(statement, exits)).collect();
            return without_missing(output);
        }
    }
    raw(piece, exits)
}

/// Hands tokens on, but treats the blocks among them as bodies of their own.
fn raw(piece: Vec<TokenTree>, exits: &mut Exits<'_>) -> TokenStream {
    let mut output = TokenStream::new();
    let mut in_loop = false;
    let mut before: Option<TokenTree> = None;
    for tree in piece {
        let handed_on = match &tree {
            TokenTree::Group(group) if belongs_to_body(before.as_ref()) => {
                let stream = group.stream();
                let stream = match group.delimiter() {
                    Delimiter::Brace if in_loop => exits.inside(None, true, |exits| salvage(stream, exits)),
                    Delimiter::Brace => salvage(stream, exits),
                    _ => list(stream, exits),
                };
                rebuilt(group, stream).into()
            }
            other => {
                in_loop |= is_ident(other, &["for", "while", "loop"]);
                other.clone()
            }
        };
        output.extend([handed_on]);
        before = Some(tree);
    }
    output
}

/// Whether a group is evaluated where it stands: not after `async`, `move`, a closure's bar or a macro's mark.
fn belongs_to_body(before: Option<&TokenTree>) -> bool {
    match before {
        Some(TokenTree::Punct(punct)) => !matches!(punct.as_char(), '|' | '!'),
        Some(other) => !is_ident(other, &["async", "move"]),
        None => true,
    }
}

/// Arguments in parentheses or brackets.
fn list(stream: TokenStream, exits: &mut Exits<'_>) -> TokenStream {
    match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(stream.clone()) {
        Ok(mut arguments) => {
            arguments.iter_mut().for_each(|argument| exits.visit_expr_mut(argument));
            arguments.into_token_stream()
        }
        Err(_) => raw(stream.into_iter().collect(), exits),
    }
}

/// The tokens with a name behind every dot that lacks one; `None` if no dot does.
fn completed(piece: &[TokenTree]) -> Option<TokenStream> {
    let mut changed = false;
    let output = complete(piece, &mut changed);
    changed.then_some(output)
}

fn complete(piece: &[TokenTree], changed: &mut bool) -> TokenStream {
    let mut output = TokenStream::new();
    for (index, tree) in piece.iter().enumerate() {
        match tree {
            TokenTree::Group(group) => {
                let inside: Vec<TokenTree> = group.stream().into_iter().collect();
                let stream = complete(&inside, changed);
                output.extend([TokenTree::from(rebuilt(group, stream))]);
            }
            _ => output.extend([tree.clone()]),
        }
        let before = index.checked_sub(1).map(|before| &piece[before]);
        if is_dot(tree) && !before.is_some_and(is_dot) && lacks_name(piece.get(index + 1)) {
            *changed = true;
            output.extend([TokenTree::from(Ident::new(MISSING, Span::mixed_site()))]);
        }
    }
    output
}

fn lacks_name(after_dot: Option<&TokenTree>) -> bool {
    match after_dot {
        Some(TokenTree::Ident(_) | TokenTree::Literal(_)) => false,
        Some(TokenTree::Punct(punct)) => punct.as_char() != '.',
        Some(TokenTree::Group(_)) | None => true,
    }
}

fn without_missing(tokens: TokenStream) -> TokenStream {
    let kept = tokens.into_iter().filter(|tree| !is_ident(tree, &[MISSING]));
    kept.map(|tree| match tree {
        TokenTree::Group(group) => rebuilt(&group, without_missing(group.stream())).into(),
        other => other,
    })
    .collect()
}

/// The group with other content: same delimiters, same place.
pub(crate) fn rebuilt(group: &Group, stream: TokenStream) -> Group {
    let mut rebuilt = Group::new(group.delimiter(), stream);
    rebuilt.set_span(group.span());
    rebuilt
}

pub(crate) fn is_ident(tree: &TokenTree, names: &[&str]) -> bool {
    matches!(tree, TokenTree::Ident(ident) if names.iter().any(|name| ident == name))
}

fn is_dot(tree: &TokenTree) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == '.')
}

/// Completes a half-typed piece, parses it as `parse` does, and prints it again without the names put in.
pub(crate) fn parse_completed<T>(tokens: &TokenStream, parse: impl Fn(TokenStream) -> syn::Result<T>) -> syn::Result<T> {
    parse(tokens.clone()).or_else(|error| {
        let piece: Vec<TokenTree> = tokens.clone().into_iter().collect();
        completed(&piece).map_or(Err(error), parse)
    })
}
