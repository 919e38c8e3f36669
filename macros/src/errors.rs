//! Mistakes found in one macro input, kept until the end so that all of them are reported together.

use proc_macro2::TokenStream;
use quote::ToTokens;

/// Every mistake found so far, in the order found.
#[derive(Debug, Default)]
pub(crate) struct Errors(Vec<syn::Error>);

impl Errors {
    /// Adds a mistake at exactly these tokens.
    pub(crate) fn at(&mut self, tokens: impl ToTokens, message: impl std::fmt::Display) {
        self.0.push(syn::Error::new_spanned(tokens, message));
    }

    /// Adds a mistake that has been made into an error already.
    pub(crate) fn push(&mut self, error: syn::Error) {
        self.0.push(error);
    }

    /// Takes over the mistakes of a nested macro.
    pub(crate) fn append(&mut self, mut inner: Self) {
        self.0.append(&mut inner.0);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Printed as one `compile_error!` statement a mistake; as nothing when there is none.
///
/// This goes *after* the code that the mistakes are in: an editor completes in the code only if
/// its place in the expansion does not depend on whether there is a mistake.
impl ToTokens for Errors {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.extend(self.0.iter().map(syn::Error::to_compile_error));
    }
}
