//! A body's tokens: parsed, its exits replaced, and printed; as far as they can be parsed.
//!
//! While somebody types, a body is broken most of the time. What can't be parsed is handed on as
//! it is, so that rustc reports it, better than we could, and rust-analyzer completes in it; and
//! everything around it is treated as ever: an editor compares the expansion of the broken body with that of the same
//! body with an identifier put in at the cursor, and the two must not differ before that place.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, quote_spanned};
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::punctuated::Punctuated;
use syn::visit_mut::VisitMut;
use syn::{Block, Expr, Pat, Stmt, Token, Type};

use crate::exits::Exits;
use crate::ours_at;
use crate::tail::{self, Form};

/// Stands in for the field or method that is missing after a dot; nobody's identifier.
const MISSING: &str = "__trio_missing";

/// Replaces the exits in a body, and makes its end what the closure around it returns.
pub(crate) fn rewrite(body: TokenStream, exits: &mut Exits<'_>) -> TokenStream {
    let mut pieces = match Block::parse_within.parse2(body.clone()) {
        Ok(statements) => statements.into_iter().map(Piece::Statement).collect(),
        // Often only a name after a dot is missing, because that is what is about to be typed.
        Err(_) => split(complete(body)),
    };
    let last = pieces.pop();
    let mut output: TokenStream = pieces.into_iter().map(|piece| piece.print(false, exits)).collect();
    output.extend(end(last, exits));
    without_missing(output)
}

/// A statement, or what could be one when it is finished.
enum Piece {
    Statement(Stmt),

    /// Parsed up to where a semicolon is missing: what comes before an expression, the expression,
    /// and the statement behind it, which would be part of it if a name were missing as well.
    Unended(TokenStream, Expr, Option<Box<Self>>),

    Raw(Vec<TokenTree>),
}

impl Piece {
    /// `is_end`: the value of the body is that of this piece.
    fn print(self, is_end: bool, exits: &mut Exits<'_>) -> TokenStream {
        let is_unit = self.is_unit();
        let output = match self {
            Self::Statement(mut statement) => {
                if is_end {
                    tail::convert(&mut statement);
                }
                exits.visit_stmt_mut(&mut statement);
                return statement.into_token_stream();
            }
            Self::Unended(mut output, mut expr, behind) => {
                exits.visit_expr_mut(&mut expr);
                expr.to_tokens(&mut output);
                output.extend(behind.map(|behind| behind.print(is_end && !is_unit, exits)));
                output
            }
            Self::Raw(tokens) => raw(tokens, is_end && !is_unit, exits),
        };
        if is_end && is_unit { tail::converted(&output) } else { output }
    }

    /// Whether it ends in a statement without a value.
    fn is_unit(&self) -> bool {
        match self {
            Self::Statement(statement) => tail::is_unit(statement),
            Self::Unended(_, _, behind) => behind.as_ref().is_some_and(|behind| behind.is_unit()),
            Self::Raw(tokens) => matches!(tokens.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == ';'),
        }
    }
}

/// The last statement, and behind it the value of the body.
///
/// Input: `Some(Box::new(5))`
/// Output: `__TrioExit0::tie(witness0, __TrioExit0::Value { value: Some(Box::new(5)) })`
///
/// Input: `sleep_forever().await`, which may never have a value
/// Output: `let value = { sleep_forever().await }; __TrioExit0::tie(witness0, __TrioExit0::Value { value: value })`
///
/// The first form lets the expected type reach the parts of the value. The second is for where
/// rustc would find our call unreachable, and would tell the user so: there, it is allowed to be,
/// and only there, since an `allow` around the user's tokens would hide lints in them.
fn end(last: Option<Piece>, exits: &mut Exits<'_>) -> TokenStream {
    let Some(last) = last else {
        return exits.value(&ours!(()));
    };
    let (form, parsed) = match &last {
        Piece::Statement(statement) => (tail::form(statement), true),
        Piece::Unended(..) | Piece::Raw(_) => (Form::Uncertain, false),
    };
    let last = last.print(true, exits);
    match form {
        // Attributes are for statements, and for the value of a block; so it gets a block of its own.
        Form::Value if has_attribute(&last) => exits.value(&ours!({ #last })),
        Form::Value => exits.value(&last),
        Form::Item => {
            let value = exits.value(&ours!(()));
            ours!(#last #value)
        }
        Form::Uncertain => {
            // Where a value of the wrong type is reported, and the end of a broken statement.
            let place = last.clone().into_iter().last().map_or_else(Span::mixed_site, |tree| ours_at(tree.span()));
            let block = quote_spanned!(place=> { #last });
            let value = if parsed && !lacks_any(last) {
                Ident::new("value", place).into_token_stream()
            } else {
                // Whatever rustc makes of it is not to be reported as well.
                ours!(::core::unreachable!())
            };
            let value = exits.value(&value);
            ours! {
                #[allow(clippy::diverging_sub_expression)]
                let value = #block;
                #[allow(unreachable_code)]
                #value
            }
        }
    }
}

fn has_attribute(statement: &TokenStream) -> bool {
    matches!(statement.clone().into_iter().next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '#')
}

/// Statement by statement: what parses, what would with a semicolon, and what does not.
fn split(body: TokenStream) -> Vec<Piece> {
    let parser = |input: ParseStream<'_>| {
        let mut pieces = Vec::new();
        while !input.is_empty() {
            next(input, &mut pieces)?;
        }
        Ok(pieces)
    };
    parser.parse2(body).unwrap_or_default()
}

/// Takes at least one token from the input.
fn next(input: ParseStream<'_>, pieces: &mut Vec<Piece>) -> syn::Result<()> {
    let ahead = input.fork();
    if let Ok(statement) = ahead.parse::<Stmt>() {
        input.advance_to(&ahead);
        pieces.push(Piece::Statement(statement));
        return Ok(());
    }

    // The name has just been typed, and the semicolon is missing; or it is the last statement.
    let ahead = input.fork();
    if let Ok((before, expr)) = ahead.call(unended) {
        input.advance_to(&ahead);
        let mut behind = Vec::new();
        if input.is_empty() && before.is_empty() {
            pieces.push(Piece::Statement(Stmt::Expr(expr, None)));
            return Ok(());
        }
        if !input.is_empty() {
            next(input, &mut behind)?;
        }
        let mut behind = behind.into_iter();
        pieces.push(Piece::Unended(before, expr, behind.next().map(Box::new)));
        pieces.extend(behind);
        return Ok(());
    }

    pieces.push(Piece::Raw(piece(input)?));
    Ok(())
}

/// `let … = expression`, or an expression.
fn unended(input: ParseStream<'_>) -> syn::Result<(TokenStream, Expr)> {
    let mut before = TokenStream::new();
    if input.peek(Token![let]) {
        before.extend([input.parse::<TokenTree>()?]);
        Pat::parse_single(input)?.to_tokens(&mut before);
        if input.peek(Token![:]) {
            before.extend([input.parse::<TokenTree>()?]);
            input.parse::<Type>()?.to_tokens(&mut before);
        }
        input.parse::<Token![=]>()?.to_tokens(&mut before);
    }
    Ok((before, input.parse()?))
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

/// Hands tokens on, but treats the blocks among them as bodies of their own.
fn raw(piece: Vec<TokenTree>, is_end: bool, exits: &mut Exits<'_>) -> TokenStream {
    let mut output = TokenStream::new();
    let (mut in_loop, mut in_match) = (false, false);
    let mut before: Option<TokenTree> = None;
    for tree in piece {
        let handed_on = match &tree {
            TokenTree::Group(group) if belongs_to_body(before.as_ref()) => {
                let stream = group.stream();
                let stream = match group.delimiter() {
                    Delimiter::Brace if in_loop => exits.inside(None, true, |exits| inner(stream, Ends::None, exits)),
                    Delimiter::Brace if is_end && in_match => inner(stream, Ends::All, exits),
                    Delimiter::Brace if is_end => inner(stream, Ends::Last, exits),
                    Delimiter::Brace => inner(stream, Ends::None, exits),
                    _ => list(stream, exits),
                };
                rebuilt(group, stream).into()
            }
            other => {
                in_loop |= is_ident(other, &["for", "while", "loop"]);
                in_match |= is_ident(other, &["match"]);
                other.clone()
            }
        };
        output.extend([handed_on]);
        before = Some(tree);
    }
    output
}

/// Which of the pieces in a pair of braces the body can have its value from: in those of a `match`, that is every arm.
#[derive(Clone, Copy, PartialEq)]
enum Ends {
    None,
    Last,
    All,
}

/// A block inside tokens that do not parse.
fn inner(stream: TokenStream, ends: Ends, exits: &mut Exits<'_>) -> TokenStream {
    let pieces = split(stream);
    let last = pieces.len().saturating_sub(1);
    let is_end = |index| ends == Ends::All || (ends == Ends::Last && index == last);
    pieces.into_iter().enumerate().map(|(index, piece)| piece.print(is_end(index), exits)).collect()
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
        Err(_) => raw(stream.into_iter().collect(), false, exits),
    }
}

/// The tokens with a name behind every dot that lacks one.
fn complete(tokens: TokenStream) -> TokenStream {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut output = TokenStream::new();
    for (index, tree) in trees.iter().enumerate() {
        let completed = match tree {
            TokenTree::Group(group) => rebuilt(group, complete(group.stream())).into(),
            other => other.clone(),
        };
        output.extend([completed]);
        let follows_dot = index.checked_sub(1).is_some_and(|before| is_dot(&trees[before]));
        if is_dot(tree) && !follows_dot && lacks_name(trees.get(index + 1)) {
            output.extend([TokenTree::from(Ident::new(MISSING, Span::mixed_site()))]);
        }
    }
    output
}

/// Whether this, behind a dot, is not the name of a field or method.
fn lacks_name(after_dot: Option<&TokenTree>) -> bool {
    const STATEMENTS: [&str; 13] = [
        "async", "break", "const", "continue", "for", "if", "let", "loop", "match", "return", "unsafe", "use", "while",
    ];
    match after_dot {
        Some(ident @ TokenTree::Ident(_)) => is_ident(ident, &STATEMENTS),
        Some(TokenTree::Literal(_)) => false,
        Some(TokenTree::Punct(punct)) => punct.as_char() != '.',
        Some(TokenTree::Group(_)) | None => true,
    }
}

/// Whether a name was put in.
fn lacks_any(tokens: TokenStream) -> bool {
    tokens.into_iter().any(|tree| match tree {
        TokenTree::Group(group) => lacks_any(group.stream()),
        other => is_ident(&other, &[MISSING]),
    })
}

fn without_missing(tokens: TokenStream) -> TokenStream {
    if !lacks_any(tokens.clone()) {
        return tokens;
    }
    let kept = tokens.into_iter().filter(|tree| !is_ident(tree, &[MISSING]));
    let kept = kept.map(|tree| match tree {
        TokenTree::Group(group) => rebuilt(&group, without_missing(group.stream())).into(),
        other => other,
    });
    kept.collect()
}

/// The statements of a block, if need be with names put in.
pub(crate) fn parse_completed(tokens: &TokenStream) -> syn::Result<Vec<Stmt>> {
    let parse = Block::parse_within;
    parse.parse2(tokens.clone()).or_else(|_| parse.parse2(complete(tokens.clone())))
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
