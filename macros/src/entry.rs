//! `#[trio::main]` and `#[trio::test]`: an `async fn` becomes one that starts a run.
//!
//! The user's function is kept whole, inside the one that takes its place. So its signature and
//! its body mean what they mean without the attribute, and so does every message about them; and
//! the body is never parsed here.

use proc_macro2::{Ident, Span, TokenStream};
use quote::{ToTokens, quote_spanned};
use syn::ext::IdentExt;
use syn::parse::{ParseStream, Parser};
use syn::spanned::Spanned;
use syn::{Attribute, FnArg, ReturnType, Safety, Signature, Token, Visibility};

use crate::errors::Errors;
use crate::options::{self, Options};
use crate::ours_at;

/// Input: `async fn main() -> trio::Result { … }`
/// Output, shortened:
/// ```text
/// fn main() -> ExitCode {
///     async fn main() -> trio::Result { … }
///     run_main(MainOptions::new(), main())
/// }
/// ```
pub(crate) fn main(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Options { krate, calls } = options::MAIN.parse(options, &mut errors);
    let Some(function) = Function::parse("#[trio::main]", &item, &mut errors) else {
        return ours!(#item #errors);
    };
    for input in &function.signature.inputs {
        errors.at(input, "the main task takes no arguments");
    }

    let inner = function.inner_name();
    let call = function.at_output(&ours!(#inner()));
    let run = ours!(#krate::__private::run_main(#krate::__private::MainOptions::new() #calls, #call));
    let head = function.head(&ours!(-> ::std::process::ExitCode));
    function.outer(&head, &run, &ours!(::std::process::ExitCode::SUCCESS), &errors)
}

/// Input: `async fn name(clock: MockClock) { … }`
/// Output, shortened:
/// ```text
/// #[test]
/// fn name() {
///     async fn name(clock: MockClock) { … }
///     run_test(concat!(module_path!(), "::name"), TestOptions::new(), |clock| name(clock))
/// }
/// ```
pub(crate) fn test(options: TokenStream, item: TokenStream) -> TokenStream {
    let mut errors = Errors::default();
    let Options { krate, calls } = options::TEST.parse(options, &mut errors);
    let Some(mut function) = Function::parse("#[trio::test]", &item, &mut errors) else {
        return ours!(#item #errors);
    };
    let (second, attrs): (Vec<_>, Vec<_>) = function.attrs.into_iter().partition(is_test);
    function.attrs = attrs;
    for attr in second {
        errors.at(attr, "`#[trio::test]` makes this a test already; remove the second attribute");
    }
    for extra in function.signature.inputs.iter().skip(1) {
        errors.at(extra, "a test takes no argument but one `clock: MockClock`");
    }
    if let Some(FnArg::Receiver(this)) = function.signature.inputs.first() {
        errors.at(this, "a test takes no argument but one `clock: MockClock`");
    }

    let inner = function.inner_name();
    let (clock, body) = match function.signature.inputs.first() {
        Some(FnArg::Typed(clock)) => {
            // The user's type: that is what is wrong when it is not the clock's.
            let argument = quote_spanned!(ours_at(clock.ty.span())=> clock);
            (ours!(.mock_clock(true)), ours!(|clock| #inner(#argument)))
        }
        _ => (TokenStream::new(), ours!(|_| #inner())),
    };
    let name = function.signature.ident.unraw().to_string();
    let name = ours!(::core::concat!(::core::module_path!(), "::", #name));
    let run = ours!(#krate::__private::run_test(#name, #krate::__private::TestOptions::new() #clock #calls, #body));
    let run = function.at_output(&run);
    let (head, idle) = if errors.is_empty() {
        (function.head(&function.signature.output.to_token_stream()), TokenStream::new())
    } else {
        (function.head(&TokenStream::new()), TokenStream::new())
    };
    let item = function.outer(&head, &run, &idle, &errors);
    ours!(#[::core::prelude::v1::test] #item)
}

/// The function under an attribute.
struct Function {
    attrs: Vec<Attribute>,
    visibility: Visibility,
    signature: Signature,

    /// With its braces, as the user wrote it.
    body: TokenStream,
}

impl Function {
    /// Reads the item and checks what both attributes ask for. `None` if it is no function.
    fn parse(attribute: &str, item: &TokenStream, errors: &mut Errors) -> Option<Self> {
        let parser = |input: ParseStream<'_>| {
            Ok(Self {
                attrs: input.call(Attribute::parse_outer)?,
                visibility: input.parse()?,
                signature: input.parse()?,
                body: input.parse()?,
            })
        };
        let Ok(function) = parser.parse2(item.clone()) else {
            let first = item.clone().into_iter().next();
            errors.at(first.into_token_stream(), format!("expected an `async fn` under `{attribute}`"));
            return None;
        };
        let signature = &function.signature;
        if signature.asyncness.is_none() {
            let glob = if attribute == "#[trio::test]" {
                " (with `use trio::*`, a plain `#[test]` is this one too: import what you need by name)"
            } else {
                ""
            };
            errors.at(signature.fn_token, format!("expected `async fn`: `{attribute}` runs it as a task{glob}"));
        }
        if !signature.generics.params.is_empty() {
            errors.at(&signature.generics, format!("a function under `{attribute}` cannot be generic"));
        }
        match &signature.safety {
            Safety::Unsafe(token) => errors.at(token, format!("a function under `{attribute}` cannot be unsafe")),
            Safety::Safe(_) | Safety::Default => {}
        }
        Some(function)
    }

    /// The user's function gets the same name once more, one level down; but only one of the two
    /// keeps the name's place in the source, lest an editor jump to the wrong one.
    fn inner_name(&self) -> Ident {
        let mut name = self.signature.ident.clone();
        name.set_span(Span::mixed_site());
        name
    }

    /// What comes before the braces of the function that takes the place of the user's.
    fn head(&self, output: &TokenStream) -> TokenStream {
        let Self { attrs, visibility, signature: Signature { fn_token, ident, .. }, .. } = self;
        ours!(#(#attrs)* #visibility #fn_token #ident() #output)
    }

    /// The whole: the user's function inside, and the run.
    ///
    /// After a mistake nothing is run, so that the mistake is all that is reported; but the user's
    /// function stays, so that an editor completes in it.
    fn outer(&self, head: &TokenStream, run: &TokenStream, idle: &TokenStream, errors: &Errors) -> TokenStream {
        let mut signature = self.signature.clone();
        signature.ident = self.inner_name();
        signature.asyncness.get_or_insert_with(|| Token![async](Span::mixed_site()));
        let body = &self.body;
        let (end, unused) = if errors.is_empty() { (run, None) } else { (idle, Some(ours!(dead_code,))) };
        ours! {
            #head {
                // It would not be `async` if the attribute did not ask for it.
                #[allow(#unused clippy::unused_async)]
                #signature #body
                #end
            }
            #errors
        }
    }

    /// An expression placed at the written output type, which is what does not fit when the
    /// expression does not.
    fn at_output(&self, expr: &TokenStream) -> TokenStream {
        match &self.signature.output {
            ReturnType::Default => expr.clone(),
            ReturnType::Type(_, ty) => {
                let span = ours_at(ty.span());
                expr.clone()
                    .into_iter()
                    .map(|mut tree| {
                        tree.set_span(span);
                        tree
                    })
                    .collect()
            }
        }
    }
}

fn is_test(attr: &Attribute) -> bool {
    attr.path().segments.last().is_some_and(|last| last.ident == "test")
}
