//! Whether the end of a body is certain to be reached and to have a value.
//!
//! Only the type checker knows for sure. What is certain here is what no type can change: that a
//! tuple is a tuple. A wrong answer costs little: see [`Form`].
//!
//! Nor is anything called certain that is of type `()`, or that looks like a statement half typed: the
//! two forms differ before the statement, and an editor is confused when they change while one types.

use proc_macro2::TokenStream;
use quote::ToTokens;
use syn::{Block, Expr, ExprPath, Macro, Stmt};

use crate::errors::Errors;
use crate::header::Call;
use crate::kind::{Kind, Shape};

/// How the last statement of a body makes its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// It is an expression that certainly has a value.
    Value,

    /// It is an item, which the statements before it may use; the value is `()`.
    Item,

    /// It may have a value, or it may never be passed. The expected type does not get into it.
    Uncertain,
}

pub(crate) fn form(statement: &Stmt) -> Form {
    match statement {
        Stmt::Item(_) => Form::Item,
        Stmt::Expr(expr, None) if is_certain(expr) => Form::Value,
        Stmt::Macro(tail) if tail.semi_token.is_none() && tail.attrs.is_empty() && is_value(&tail.mac) => Form::Value,
        _ => Form::Uncertain,
    }
}

/// Tells rustc in a second way that a block is never passed, wherever the value of the last statement is a block's.
///
/// Input: `sleep_forever().await;`
/// Output: `let () = { sleep_forever().await; };`
///
/// rustc knows that such a block has no end, so it can be of any type. But where that type is to be `!`
/// itself, nothing has to be converted, and what checks the use of variables no longer knows: it
/// finds a value that is used and was never made (E0381). A conversion to `()` is one it sees.
pub(crate) fn convert(statement: &mut Stmt) {
    if is_unit(statement) {
        if let Ok(converted) = syn::parse2(converted(&statement.to_token_stream())) {
            *statement = converted;
        }
    } else if let Stmt::Expr(expr, None) = statement {
        convert_blocks(expr);
    }
}

/// Statements that end in one of which [`is_unit`] is true, when [`convert`] can't be used because they do not parse.
pub(crate) fn converted(statements: &TokenStream) -> TokenStream {
    ours! {
        #[allow(clippy::diverging_sub_expression)]
        let () = { #statements };
    }
}

/// Whether a block that ends in this statement is of type `()`, if it ends.
pub(crate) fn is_unit(statement: &Stmt) -> bool {
    match statement {
        Stmt::Item(_) | Stmt::Expr(_, None) => false,
        Stmt::Macro(mac) => mac.semi_token.is_some(),
        Stmt::Local(_) | Stmt::Expr(_, Some(_)) => true,
    }
}

/// The same in the blocks that an expression has its value from.
fn convert_blocks(expr: &mut Expr) {
    let in_block = |block: &mut Block| block.stmts.last_mut().into_iter().for_each(convert);
    match expr {
        Expr::Block(it) => in_block(&mut it.block),
        Expr::Unsafe(it) => in_block(&mut it.block),
        Expr::If(it) => {
            in_block(&mut it.then_branch);
            it.else_branch.iter_mut().for_each(|(_, otherwise)| convert_blocks(otherwise));
        }
        Expr::Match(it) => it.arms.iter_mut().for_each(|arm| convert_blocks(&mut arm.body)),
        _ => {}
    }
}

fn is_certain(expr: &Expr) -> bool {
    match expr {
        Expr::Array(_)
        | Expr::Assign(_)
        | Expr::Async(_)
        | Expr::Binary(_)
        | Expr::Cast(_)
        | Expr::Closure(_)
        | Expr::Index(_)
        | Expr::Lit(_)
        | Expr::Path(_)
        | Expr::Range(_)
        | Expr::Reference(_)
        | Expr::Repeat(_)
        | Expr::Struct(_)
        | Expr::Tuple(_)
        | Expr::Unary(_) => true,
        Expr::Block(it) => it.label.is_none() && ends_in_value(&it.block),
        Expr::Unsafe(it) => ends_in_value(&it.block),
        Expr::Call(call) => matches!(&*call.func, Expr::Path(function) if constructs(function)),
        Expr::If(it) => match &it.else_branch {
            Some((_, otherwise)) => ends_in_value(&it.then_branch) || is_certain(otherwise),
            None => false,
        },
        Expr::Macro(it) => is_value(&it.mac),
        // One arm is enough for the end to be reached.
        Expr::Match(it) => it.arms.iter().any(|arm| is_certain(&arm.body)),
        Expr::Paren(it) => is_certain(&it.expr),
        _ => false,
    }
}

fn ends_in_value(block: &Block) -> bool {
    block.stmts.last().is_some_and(|last| form(last) == Form::Value)
}

/// `Some`, `Box::new`, `module::Point`: a variant, a tuple struct, or a function of a type.
fn constructs(function: &ExprPath) -> bool {
    let is_type = |name: String| name.starts_with(char::is_uppercase);
    function.path.segments.iter().rev().take(2).any(|segment| is_type(segment.ident.to_string()))
}

/// A macro that certainly has a value.
fn is_value(mac: &Macro) -> bool {
    let Some(kind) = Kind::of(&mac.path) else {
        return mac.path.is_ident("vec") || mac.path.is_ident("format");
    };
    let Some(call) = Call::parse(kind, mac.tokens.clone(), &mut Errors::default()) else {
        return false;
    };
    if kind.shape(call.is_scoped()) != Shape::Plain {
        return true;
    }
    let statements = syn::parse::Parser::parse2(Block::parse_within, call.body);
    statements.is_ok_and(|statements| statements.last().is_none_or(|last| form(last) == Form::Value))
}
