//! The error type of inline children: `n.start_soon(async { read()?; Ok(()) })`.
//!
//! Nothing in such a block says which error type its `?` converts to. In `try_nursery!` there is
//! only one sensible answer, the nursery's, and a call of its hidden method `__typed` gives it.
//!
//! This is done on tokens, before anything is parsed, so that it happens just the same in a body
//! that is half typed.

use proc_macro2::{Delimiter, Group, Ident, TokenStream, TokenTree};
use quote::quote;
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{Block, Expr, Item, Macro, Pat, Path, PathArguments, Stmt, Token, Type};

use crate::body::{is_ident, parse_completed, rebuilt};
use crate::errors::Errors;
use crate::header::Call;
use crate::kind::Kind;

/// The calls that start a child whose error goes to the nursery.
const STARTS: [&str; 4] = ["start_soon", "start_daemon", "try_spawn", "start"];

/// Pins the inline children that are started through the nursery's own name.
///
/// Input: `n.start_soon(async { read()?; Ok(()) })`
/// Output: `n.start_soon(n.__typed(async { read()?; Ok(()) }))`
pub(crate) fn pin(body: TokenStream, nursery: &Pat) -> TokenStream {
    match nursery {
        Pat::Ident(pat) if pat.subpat.is_none() => pinned(body, &pat.ident),
        _ => body,
    }
}

fn pinned(tokens: TokenStream, nursery: &Ident) -> TokenStream {
    let trees: Vec<TokenTree> = tokens.into_iter().collect();
    let mut output = TokenStream::new();
    for (index, tree) in trees.iter().enumerate() {
        let TokenTree::Group(group) = tree else {
            output.extend([tree.clone()]);
            continue;
        };
        let before = &trees[..index];
        let stream = group.stream();
        let stream = if is_macro(before) && renames(&stream, nursery) { stream } else { pinned(stream, nursery) };
        let stream = match group.delimiter() {
            Delimiter::Parenthesis if starts_child(before, nursery) => child(stream, nursery),
            _ => stream,
        };
        output.extend([TokenTree::from(rebuilt(group, stream))]);
    }
    output
}

/// Whether the tokens end in `n.start_soon` or `n.named(…).start_soon`.
fn starts_child(before: &[TokenTree], nursery: &Ident) -> bool {
    let [receiver @ .., dot, method] = before else {
        return false;
    };
    let called = is_punct(dot, '.') && is_ident(method, &STARTS);
    called
        && match receiver {
            [.., named_dot, named, TokenTree::Group(_)] if is_ident(named, &["named"]) && is_punct(named_dot, '.') => {
                is_nursery(&receiver[..receiver.len() - 3], nursery)
            }
            _ => is_nursery(receiver, nursery),
        }
}

/// Whether the tokens end in the nursery's name, by itself.
fn is_nursery(tokens: &[TokenTree], nursery: &Ident) -> bool {
    match tokens {
        [.., before, TokenTree::Ident(last)] => last == nursery && !is_punct(before, '.'),
        [TokenTree::Ident(last)] => last == nursery,
        _ => false,
    }
}

/// The argument of a call that starts a child.
fn child(argument: TokenStream, nursery: &Ident) -> TokenStream {
    let trees: Vec<TokenTree> = argument.clone().into_iter().collect();
    let trees = match &trees[..] {
        [trees @ .., comma] if is_punct(comma, ',') => trees,
        trees => trees,
    };
    let (closure, block) = split_closure(trees);
    let group = match block {
        [first, TokenTree::Group(group)] if is_ident(first, &["async"]) => group,
        [first, second, TokenTree::Group(group)] if is_ident(first, &["async"]) && is_ident(second, &["move"]) => group,
        _ => return argument,
    };
    if !needs_type(group) {
        return argument;
    }
    quote!(#(#closure)* #nursery.__typed(#(#block)*))
}

/// `|status| async { … }`, for `start`: the bars with what is between them, and the rest.
fn split_closure(trees: &[TokenTree]) -> (&[TokenTree], &[TokenTree]) {
    let begins = trees.iter().take(2).position(|tree| is_punct(tree, '|'));
    let Some(begins) = begins.filter(|begins| trees[..*begins].iter().all(|tree| is_ident(tree, &["move"]))) else {
        return (&[], trees);
    };
    let ends = trees[begins + 1..].iter().position(|tree| is_punct(tree, '|'));
    ends.map_or((&[], trees), |ends| trees.split_at(begins + ends + 2))
}

/// Whether only the nursery can say what the block's error type is.
fn needs_type(block: &Group) -> bool {
    if block.delimiter() != Delimiter::Brace {
        return false;
    }
    match parse_completed(&block.stream()) {
        Ok(mut statements) => {
            let mut outcome = Outcome::default();
            outcome.statements(&mut statements);
            outcome.is_open()
        }
        Err(_) => has_question(block.stream()),
    }
}

/// The same question about a block that does not parse: as good an answer as tokens give.
fn has_question(tokens: TokenStream) -> bool {
    let mut in_async = false;
    tokens.into_iter().any(|tree| match &tree {
        TokenTree::Group(group) => !std::mem::take(&mut in_async) && has_question(group.stream()),
        _ => {
            in_async = is_ident(&tree, &["async"]) || (in_async && is_ident(&tree, &["move"]));
            is_punct(&tree, '?')
        }
    })
}

/// What the exits of an async block say about its output.
#[derive(Default)]
struct Outcome {
    /// There is a `?`, which converts to a type that is yet to be known.
    converts: bool,

    /// There is an `Ok(…)` or `Err(…)` at an end of the block: `Ok` says nothing of the error.
    ok: bool,
    err: bool,

    /// The type is written: `Ok::<(), MyError>(())`.
    written: bool,
}

impl Outcome {
    fn is_open(&self) -> bool {
        !self.written && (self.converts || (self.ok && !self.err))
    }

    fn statements(&mut self, statements: &mut [Stmt]) {
        statements.iter_mut().for_each(|statement| self.visit_stmt_mut(statement));
        if let Some(Stmt::Expr(tail, None)) = statements.last() {
            self.end(tail);
        }
    }

    /// An expression whose value is the block's.
    fn end(&mut self, expr: &Expr) {
        match expr {
            Expr::Call(call) => {
                let Expr::Path(function) = &*call.func else { return };
                let Some(last) = function.path.segments.last() else { return };
                self.ok |= last.ident == "Ok";
                // `Err(error.into())` leaves the type as open as a `?` does.
                let converts = matches!(call.args.first(), Some(Expr::MethodCall(call)) if call.method == "into");
                self.converts |= last.ident == "Err" && converts;
                self.err |= last.ident == "Err" && !converts;
                let constructs = last.ident == "Ok" || last.ident == "Err";
                self.written |= constructs && !matches!(last.arguments, PathArguments::None);
            }
            Expr::If(branches) => {
                self.ends(&branches.then_branch);
                branches.else_branch.iter().for_each(|(_, branch)| self.end(branch));
            }
            Expr::Match(branches) => branches.arms.iter().for_each(|arm| self.end(&arm.body)),
            Expr::Block(inner) => self.ends(&inner.block),
            Expr::Unsafe(inner) => self.ends(&inner.block),
            Expr::Paren(inner) => self.end(&inner.expr),
            _ => {}
        }
    }

    fn ends(&mut self, block: &Block) {
        if let Some(Stmt::Expr(tail, None)) = block.stmts.last() {
            self.end(tail);
        }
    }
}

// It changes nothing; the visitor that could not is a feature of syn that nothing else needs.
impl VisitMut for Outcome {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Closure(_) | Expr::Async(_) | Expr::Const(_) | Expr::TryBlock(_) => return,
            Expr::Try(_) => self.converts = true,
            Expr::Return(leave) => leave.expr.iter().for_each(|value| self.end(value)),
            _ => {}
        }
        visit_mut::visit_expr_mut(self, expr);
    }

    fn visit_macro_mut(&mut self, mac: &mut Macro) {
        match Kind::of(&mac.path) {
            // Its `?` go to its own group.
            Some(Kind::TryNursery) => {}
            Some(kind) => {
                let call = Call::parse(kind, mac.tokens.clone(), &mut Errors::default());
                let mut statements = call.and_then(|call| Block::parse_within.parse2(call.body).ok());
                statements.iter_mut().flatten().for_each(|statement| self.visit_stmt_mut(statement));
            }
            None => {
                let list = Punctuated::<Expr, Token![,]>::parse_terminated;
                if let Ok(mut arguments) = mac.parse_body_with(list) {
                    arguments.iter_mut().for_each(|argument| self.visit_expr_mut(argument));
                }
            }
        }
    }

    fn visit_item_mut(&mut self, _: &mut Item) {}
    fn visit_type_mut(&mut self, _: &mut Type) {}
    fn visit_path_mut(&mut self, _: &mut Path) {}
}

/// Whether the tokens end in `name!`.
fn is_macro(before: &[TokenTree]) -> bool {
    matches!(before, [.., TokenTree::Ident(_), mark] if is_punct(mark, '!'))
}

/// Whether a macro's input begins by giving the nursery's name to something else.
fn renames(input: &TokenStream, nursery: &Ident) -> bool {
    let mut trees = input.clone().into_iter().skip_while(|tree| is_ident(tree, &["move"]));
    let (bar, name) = (trees.next(), trees.next());
    bar.is_some_and(|bar| is_punct(&bar, '|')) && matches!(name, Some(TokenTree::Ident(name)) if name == *nursery)
}

fn is_punct(tree: &TokenTree, character: char) -> bool {
    matches!(tree, TokenTree::Punct(punct) if punct.as_char() == character)
}
