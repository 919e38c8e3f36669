//! From the model of a block macro to the block it stands for.

use proc_macro2::{Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::spanned::Spanned;
use syn::visit_mut::VisitMut;
use syn::{Expr, Type};

use crate::body;
use crate::errors::Errors;
use crate::exits::{Exit, Exits, Names};
use crate::header::Call;
use crate::kind::{Kind, Shape};
use crate::ours_at;
use crate::typed;

/// Lowers one block macro, and with it every block macro in its body.
///
/// `outer` is the body that this one stands in, if it is lowered as part of a nest: what this
/// block does again behind itself is code of that body, and may be an exit of it in turn.
///
/// Input: `nursery! { |n| n.start_soon(f()); return 1 }`
/// Output, shortened:
/// ```text
/// {
///     let none = None;
///     match none {
///         Some(value) => value,
///         None => {
///             let witness0 = PhantomData;
///             let exit = nursery(__TrioExit0::body(
///                 async |n| {
///                     n.start_soon(f());
///                     let value = { return __TrioExit0::tie(witness0, __TrioExit0::At0 { value: 1 }) };
///                     __TrioExit0::tie(witness0, __TrioExit0::Value { value })
///                 },
///                 match none.map(|value| __TrioExit0::Value { value }) {
///                     Some(__TrioExit0::At0 { value }) => return value,
///                     probe => probe,
///                 },
///                 witness0,
///             )).await;
///             enum __TrioExit0<V, At0> { Value { value: V }, At0 { value: At0 } }
///             match exit {
///                 __TrioExit0::Value { value } => value,
///                 __TrioExit0::At0 { value } => return value,
///             }
///         }
///     }
/// }
/// ```
///
/// `none` is never anything but `None`, and costs nothing. Its match and the one in the second
/// argument, which rustc checks before the closure, are there for the types: through them a body
/// knows, as a block does, which type is expected of its value, of `return` and of `break`.
///
/// Everything that depends on the body's exits comes after the body. So the text before the
/// user's cursor is the same whether or not the body parses, which an editor needs to complete.
pub(crate) fn block(
    call: Call,
    krate: &TokenStream,
    mut mistakes: Errors,
    mut outer: Option<&mut Exits<'_>>,
) -> TokenStream {
    let depth = outer.as_ref().map_or(0, |outer| outer.depth + 1);
    let (kind, scoped) = (call.kind, call.is_scoped());
    let Call { mut limit, capture, parameters, result, body, .. } = call;
    if let (Some(outer), Some(limit)) = (&mut outer, &mut limit) {
        outer.visit_expr_mut(limit);
    }

    let body = match kind {
        Kind::TryNursery => typed::pin(body, &parameters[0].pat),
        _ => body,
    };
    // What rustc says about the closure as a whole is about the nursery's name, or the body.
    let place = parameters.iter().map(ToTokens::to_token_stream).chain([body.clone()]).flatten().next();
    let place = place.map_or_else(Span::mixed_site, |tree| ours_at(tree.span()));
    let mut exits = Exits::new(krate, depth, kind);
    let body = body::rewrite(body, &mut exits);
    let witness = &exits.names.witness;
    let bars = quote_spanned!(place=> |#(#parameters),*|);
    let closure = quote_spanned!(place=> async #capture #bars { #body });

    let again = exits.found.iter().map(|exit| done_again(exit, outer.as_deref_mut())).collect();
    let shape = kind.shape(scoped);
    let lowering = Lowering { krate, kind, scoped, shape, names: &exits.names, exits: &exits.found, again };
    let run = lowering.run(limit.as_ref(), result.as_ref(), &closure);
    let items = lowering.items();
    let ends = lowering.ends();
    let around = shape.around(&ours!(value));

    mistakes.append(std::mem::take(&mut exits.errors));
    if let Some(outer) = outer {
        // Reported once, behind the whole nest.
        outer.errors.append(std::mem::take(&mut mistakes));
    }
    ours! {{
        let none = ::core::option::Option::None;
        match none {
            ::core::option::Option::Some(value) => #around,
            ::core::option::Option::None => {
                let #witness = ::core::marker::PhantomData;
                let exit = #run;
                #items
                #mistakes
                match exit { #ends }
            }
        }
    }}
}

/// What a match arm for one exit does: the exit again, as part of the body around, if there is one.
fn done_again(exit: &Exit, outer: Option<&mut Exits<'_>>) -> Expr {
    let mut expr = exit.again();
    if let Some(outer) = outer {
        outer.under(exit.cfg.clone(), |outer| outer.visit_expr_mut(&mut expr));
    }
    expr
}

/// A block whose body is done: everything that the rest of its expansion is made of.
struct Lowering<'a> {
    krate: &'a TokenStream,
    kind: Kind,
    scoped: bool,
    shape: Shape,
    names: &'a Names,
    exits: &'a [Exit],

    /// For each exit, what it does outside.
    again: Vec<Expr>,
}

impl Lowering<'_> {
    /// The expression that runs the closure.
    fn run(&self, limit: Option<&Expr>, result: Option<&Type>, closure: &TokenStream) -> TokenStream {
        let Self { krate, names: Names { exit, witness }, .. } = self;
        let probe = self.probe();
        let error = ours!(#krate::BoxError);
        let result = match (self.kind, result) {
            (Kind::TryNursery, None) => ours!(::core::option::Option::<::core::result::Result<_, #error>>::None),
            (_, Some(result)) => {
                let place = ours_at(result.span());
                quote_spanned!(place=> ::core::option::Option::<#result>::None)
            }
            (_, None) => TokenStream::new(),
        };
        let body = ours!(#exit::body(#closure, #probe, #witness, #result));
        match (self.kind, self.scoped) {
            (Kind::Nursery, false) => ours!(#krate::__private::nursery(#body).await),
            (Kind::Nursery, true) => ours!(#krate::__private::nursery_scoped(#body).await),
            (Kind::TryNursery, false) => ours!(#krate::__private::try_nursery(#body).await),
            (Kind::TryNursery, true) => ours!(#krate::__private::try_nursery_scoped(#body).await),
            (Kind::CancelScope, _) => ours! {{
                let scope = #krate::CancelScope::new();
                let handle = scope.handle();
                scope.run(#body(handle)).await
            }},
            (Kind::MoveOnAfter, _) => ours!(#krate::move_on_after(#limit, #body()).await),
            (Kind::MoveOnAt, _) => ours!(#krate::move_on_at(#limit, #body()).await),
            (Kind::FailAfter, _) => ours!(#krate::fail_after(#limit, #body()).await),
            (Kind::FailAt, _) => ours!(#krate::fail_at(#limit, #body()).await),
            (Kind::Shield, _) => ours!(#krate::shield(#body()).await),
        }
    }

    /// Never more than `None`, but of the exit enum's type, with every value that leaves tied to
    /// the place it goes to.
    fn probe(&self) -> TokenStream {
        let exit = &self.names.exit;
        let arms = self.exits.iter().zip(&self.again).filter(|(one, _)| one.carries && !one.is_question());
        let arms: Vec<_> = arms
            .map(|(Exit { variant, cfg, .. }, again)| {
                let cfg = cfg.as_ref().map(|cfg| ours!(#[cfg(#cfg)]));
                ours!(#cfg ::core::option::Option::Some(#exit::#variant { value }) => #again,)
            })
            .collect();
        // The value's type can be `!`.
        let none = ours!(none.map(|value| { #[allow(unreachable_code)] #exit::Value { value } }));
        if arms.is_empty() { none } else { ours!(match #none { #(#arms)* probe => probe }) }
    }

    /// The exit enum, with the functions that only exist for the types.
    fn items(&self) -> TokenStream {
        let Self { krate, names: Names { exit, .. }, .. } = self;
        let variants = self.exits.iter().map(|Exit { variant, carries, .. }| {
            let value = carries.then(|| ours!({ value: #variant }));
            ours!(#variant #value)
        });
        let carried = self.exits.iter().filter(|exit| exit.carries).map(|exit| &exit.variant);
        let generics = ours!(<V #(, #carried)*>);
        let body = self.signature();
        let is_error = (self.kind == Kind::Nursery).then(|| {
            let errors = self.exits.iter().filter(|exit| exit.is_question()).map(|exit| &exit.variant);
            ours! {
                impl #generics #krate::__private::BodyExit for #exit #generics {
                    fn is_error(&self) -> bool {
                        match self {
                            #(Self::#errors { .. } => true,)*
                            _ => false,
                        }
                    }
                }
            }
        });
        ours! {
            enum #exit #generics { Value { value: V }, #(#variants),* }
            impl #generics #exit #generics {
                fn tie(_: ::core::marker::PhantomData<Self>, exit: Self) -> Self { exit }
                #body
            }
            #is_error
        }
    }

    /// `fn body`, which hands a closure through and says what kind of closure it is.
    fn signature(&self) -> TokenStream {
        let krate = self.krate;
        let handle = self.scoped.then(|| ours!(, #krate::CancelHandle));
        let (generics, bound, result) = match self.kind {
            Kind::Nursery => (
                ours!('env, F),
                ours!(for<'scope> ::core::ops::AsyncFnOnce(&'scope #krate::Nursery<'scope, 'env> #handle) -> Self),
                None,
            ),
            Kind::TryNursery => (
                ours!('env, E, F),
                ours! {
                    for<'scope> ::core::ops::AsyncFnOnce(&'scope #krate::Nursery<'scope, 'env, E> #handle)
                        -> ::core::result::Result<Self, E>
                },
                Some(ours!(_: ::core::option::Option<::core::result::Result<V, E>>)),
            ),
            Kind::CancelScope => (ours!(F), ours!(::core::ops::AsyncFnOnce(#krate::CancelHandle) -> Self), None),
            _ => (ours!(F), ours!(::core::ops::AsyncFnOnce() -> Self), None),
        };
        ours! {
            fn body<#generics>(
                body: F,
                _: ::core::option::Option<Self>,
                _: ::core::marker::PhantomData<Self>,
                #result
            ) -> F
            where
                F: #bound,
            {
                body
            }
        }
    }

    /// The arms behind the block: its value, its exits done again, and the ends of its scope.
    fn ends(&self) -> TokenStream {
        let (exit, shape) = (&self.names.exit, self.shape);
        let value = ours!(value);
        // The last thing in a loop, a `continue` looks idle; it is not when it is one exit of several.
        let allow = ours!(#[allow(clippy::needless_continue)]);
        let end = shape.around(&ours!(#exit::Value { value }));
        let around = shape.around(&value);
        let arms = self.exits.iter().zip(&self.again).map(|(one, again)| {
            let Exit { variant, carries, cfg, .. } = one;
            let pattern = |bind: TokenStream| {
                let bind = carries.then(|| ours!({ value: #bind }));
                shape.around(&ours!(#exit::#variant #bind))
            };
            let taken = pattern(one.value().to_token_stream());
            match cfg {
                None => ours!(#allow #taken => #again,),
                Some(cfg) => {
                    // Compiled out, the exit leaves nothing behind that says what it carries.
                    let absent = pattern(ours!(()));
                    ours! {
                        #[cfg(#cfg)]
                        #allow
                        #taken => #again,
                        #[cfg(not(#cfg))]
                        #absent => ::core::unreachable!(),
                    }
                }
            }
        });
        let other = shape.other_ends();
        ours!(#end => #around, #(#arms)* #other)
    }
}
