//! The procedural macros of the `trio` crate; use them through it.
//!
//! The block macros are hidden here: `trio::nursery!` and its kin are `macro_rules!` in the
//! runtime that pass their own `$crate` along, so that a renamed dependency works.
//! What each of them means is documented there.

use proc_macro::TokenStream;
use proc_macro2::{Span, TokenStream as TokenStream2, TokenTree};

use crate::errors::Errors;
use crate::header::Call;
use crate::kind::Kind;

/// `quote!` whose names can neither be seen nor met by the user's.
macro_rules! ours {
    ($($tokens:tt)*) => {
        ::quote::quote_spanned!(::proc_macro2::Span::mixed_site()=> $($tokens)*)
    };
}

mod body;
mod entry;
mod errors;
mod exits;
mod header;
mod kind;
mod lower;
mod options;
mod tail;
mod typed;

#[cfg(test)]
mod tests;

/// Runs an `async fn` as the program's main task; see the `trio` crate.
#[proc_macro_attribute]
pub fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::main(options.into(), item.into()).into()
}

/// Runs an `async fn` as a test; see the `trio` crate.
#[proc_macro_attribute]
pub fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    entry::test(options.into(), item.into()).into()
}

macro_rules! block_macros {
    ($($name:ident: $kind:ident,)*) => {$(
        #[doc(hidden)]
        #[proc_macro]
        pub fn $name(input: TokenStream) -> TokenStream {
            block(Kind::$kind, input.into()).into()
        }
    )*};
}

block_macros! {
    __nursery: Nursery,
    __try_nursery: TryNursery,
    __cancel_scope: CancelScope,
    __move_on_after: MoveOnAfter,
    __move_on_at: MoveOnAt,
    __fail_after: FailAfter,
    __fail_at: FailAt,
    __shield: Shield,
}

/// A span of ours at the user's place: errors point there, lints do not take it for user code.
fn ours_at(place: Span) -> Span {
    Span::mixed_site().located_at(place)
}

/// Expands a block macro whose input begins with the path of the runtime in brackets.
///
/// Input: `[$crate] |n| n.start_soon(f())`
fn block(kind: Kind, input: TokenStream2) -> TokenStream2 {
    let mut input = input.into_iter();
    let Some(TokenTree::Group(krate)) = input.next() else {
        return TokenStream2::new();
    };
    let krate = krate.stream();
    let mut errors = Errors::default();
    let Some(call) = Call::parse(kind, input.collect(), &mut errors) else {
        return ours!({ #errors });
    };
    lower::block(call, &krate, errors, None)
}
