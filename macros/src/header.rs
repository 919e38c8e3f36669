//! From the tokens of a block macro's input to its model: what stands before the body, and the body.
//!
//! The body stays tokens here. Only the header is syntax of ours, so only the header is parsed.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::ToTokens;
use syn::parse::{ParseStream, Parser};
use syn::{Expr, Pat, PatType, Token, Type};

use crate::errors::Errors;
use crate::kind::Kind;

/// The input of one block macro.
pub(crate) struct Call {
    pub(crate) kind: Kind,

    /// The duration or instant of `move_on_after!` and its kin.
    pub(crate) limit: Option<Expr>,

    /// `move`, when the body is to own what it uses.
    pub(crate) capture: Option<Token![move]>,

    /// The patterns between the bars: the nursery, then the scope's handle.
    pub(crate) parameters: Vec<Pat>,

    /// The type after `->`, in `try_nursery!` only.
    pub(crate) result: Option<Type>,

    /// The statements of the body, without braces around them.
    pub(crate) body: TokenStream,
}

impl Call {
    /// Reads an input. `None` means that no body was found; every mistake is in `errors`.
    pub(crate) fn parse(kind: Kind, input: TokenStream, errors: &mut Errors) -> Option<Self> {
        let parser = |input: ParseStream<'_>| {
            let call = Header { kind, errors }.call(input);
            // What is left after a mistake would only be reported a second time.
            let _: TokenStream = input.parse()?;
            call
        };
        match parser.parse2(input) {
            Ok(call) => Some(call),
            Err(error) => {
                errors.push(error);
                None
            }
        }
    }

    /// Whether the body gets the handle of the nursery's own scope, which makes the value an `Option`.
    pub(crate) fn is_scoped(&self) -> bool {
        self.kind != Kind::CancelScope && self.parameters.len() == 2
    }
}

/// The parser, with what its messages need.
struct Header<'a> {
    kind: Kind,
    errors: &'a mut Errors,
}

impl Header<'_> {
    fn call(&mut self, input: ParseStream<'_>) -> syn::Result<Call> {
        if self.kind.has_parameters() {
            return self.introduced(input);
        }
        let limit = match self.kind {
            Kind::Shield => None,
            _ => Some(self.limit(input)?),
        };
        let (capture, body) = self.body(input)?;
        Ok(Call { kind: self.kind, limit, capture, parameters: Vec::new(), result: None, body })
    }

    /// `|n| …`, `move |n, scope| { … }`, `|n| -> Result<_, MyError> …`
    fn introduced(&mut self, input: ParseStream<'_>) -> syn::Result<Call> {
        let kind = self.kind;
        self.no_async(input)?;
        let capture = input.parse()?;
        let parameters = self.parameters(input)?;
        let result = self.result(input)?;
        let body = self.statements(input)?;
        Ok(Call { kind, limit: None, capture, parameters, result, body })
    }

    /// The closure-minded write `async |n|`, which would be a future inside a future.
    fn no_async(&mut self, input: ParseStream<'_>) -> syn::Result<()> {
        if let Some(token) = input.parse::<Option<Token![async]>>()? {
            let usage = self.kind.usage();
            self.errors.at(token, format!("the body is a block, not a future: remove `async` (`{usage}`)"));
        }
        Ok(())
    }

    fn parameters(&mut self, input: ParseStream<'_>) -> syn::Result<Vec<Pat>> {
        let (kind, usage) = (self.kind, self.kind.usage());
        let subject = if kind == Kind::CancelScope { "scope" } else { "nursery" };
        if let Some(bars) = input.parse::<Option<Token![||]>>()? {
            self.errors.at(bars, format!("the {subject} needs a name: `{usage}`"));
            return Ok(vec![wildcard()]);
        }
        if !input.peek(Token![|]) {
            let found = next_token(input);
            return Err(syn::Error::new_spanned(
                found,
                format!("expected a block that names its {subject}: `{usage}`"),
            ));
        }
        let bar: Token![|] = input.parse()?;
        let mut parameters = Vec::new();
        while !input.peek(Token![|]) {
            parameters.push(parameter(input)?);
            if !input.peek(Token![|]) {
                input.parse::<Token![,]>()?;
            }
        }
        input.parse::<Token![|]>()?;

        let most = if kind == Kind::CancelScope { 1 } else { 2 };
        for extra in parameters.drain(most.min(parameters.len())..) {
            let offer = match kind {
                Kind::CancelScope => "one name, the scope's handle",
                _ => "two names at most, the nursery and the handle of its scope",
            };
            self.errors.at(extra, format!("unexpected parameter: `{}!` takes {offer}", kind.name()));
        }
        if parameters.is_empty() {
            self.errors.at(bar, format!("the {subject} needs a name: `{usage}`"));
            parameters.push(wildcard());
        }
        Ok(parameters)
    }

    /// `-> Result<_, MyError>`
    fn result(&mut self, input: ParseStream<'_>) -> syn::Result<Option<Type>> {
        if input.parse::<Option<Token![->]>>()?.is_none() {
            return Ok(None);
        }
        let result = input.call(Type::without_plus)?;
        match self.kind {
            Kind::TryNursery if matches!(result, Type::Path(_)) => return Ok(Some(result)),
            Kind::TryNursery => {
                self.errors.at(result, "expected `Result<_, Error>`: what the nursery's block comes to");
            }
            Kind::Nursery => {
                self.errors.at(result, "children of `nursery!` cannot fail; write `try_nursery!` to name an error type")
            }
            _ => self.errors.at(result, "a cancel scope takes no result type"),
        }
        Ok(None)
    }

    /// The body after a header: statements, or one block around them.
    fn statements(&mut self, input: ParseStream<'_>) -> syn::Result<TokenStream> {
        let rest: TokenStream = input.parse()?;
        let Some((prefix, body)) = block_of(&rest) else {
            return Ok(rest);
        };
        match prefix {
            Prefix::None => {}
            Prefix::Move(token) => self.errors.at(token, "`move` goes before the bars: `move |…| { … }`"),
            Prefix::Async(tokens) => self.errors.at(tokens, NOT_A_FUTURE),
        }
        Ok(body)
    }

    /// `duration,`
    fn limit(&mut self, input: ParseStream<'_>) -> syn::Result<Expr> {
        let usage = self.kind.usage();
        if input.is_empty() {
            return Err(syn::Error::new(Span::call_site(), format!("expected `{usage}`")));
        }
        let limit: Expr = input.parse()?;
        if input.parse::<Option<Token![,]>>()?.is_none() {
            return Err(syn::Error::new_spanned(limit, format!("expected `{usage}`")));
        }
        Ok(limit)
    }

    /// The body of a macro without a header, which has to be a block.
    fn body(&mut self, input: ParseStream<'_>) -> syn::Result<(Option<Token![move]>, TokenStream)> {
        let (kind, usage) = (self.kind, self.kind.usage());
        if input.is_empty() {
            return Err(syn::Error::new(Span::call_site(), format!("expected a block: `{usage}`")));
        }
        let rest: TokenStream = input.parse()?;
        match block_of(&rest) {
            Some((Prefix::None, body)) => Ok((None, body)),
            Some((Prefix::Move(token), body)) => Ok((Some(token), body)),
            Some((Prefix::Async(tokens), body)) => {
                self.errors.at(tokens, NOT_A_FUTURE);
                Ok((None, body))
            }
            None if kind == Kind::Shield && is_code(&rest) => Ok((None, rest)),
            None => {
                let call = match kind {
                    Kind::Shield => "shield(future).await".to_owned(),
                    _ => format!("{}(…, future).await", kind.name()),
                };
                let message = format!("expected a block: `{usage}`; for a future, call the function: `{call}`");
                Err(syn::Error::new_spanned(rest, message))
            }
        }
    }
}

const NOT_A_FUTURE: &str = "the body is a block, not a future: remove `async`";

/// What stands before the braces of a body that is nothing but one pair of braces.
enum Prefix {
    None,
    Move(Token![move]),
    Async(TokenStream),
}

/// `{ … }`, `move { … }`, `async { … }` or `async move { … }`, and perhaps a comma: the prefix and
/// what is between the braces.
fn block_of(tokens: &TokenStream) -> Option<(Prefix, TokenStream)> {
    let mut trees: Vec<TokenTree> = tokens.clone().into_iter().collect();
    if matches!(trees.last(), Some(TokenTree::Punct(punct)) if punct.as_char() == ',') {
        trees.pop();
    }
    let Some(TokenTree::Group(group)) = trees.pop() else {
        return None;
    };
    // A `$body:block` of the user's own `macro_rules!` comes in invisible delimiters.
    if group.delimiter() == Delimiter::None && trees.is_empty() {
        return block_of(&group.stream());
    }
    if group.delimiter() != Delimiter::Brace {
        return None;
    }
    let prefix = match &trees[..] {
        [] => Prefix::None,
        [TokenTree::Ident(only)] if only == "move" => Prefix::Move(Token![move](only.span())),
        [TokenTree::Ident(only)] if only == "async" => Prefix::Async(only.to_token_stream()),
        [TokenTree::Ident(first), TokenTree::Ident(second)] if first == "async" && second == "move" => {
            Prefix::Async(first.to_token_stream())
        }
        _ => return None,
    };
    Some((prefix, group.stream()))
}

/// Whether tokens without braces around them are the inside of a block rather than one future:
/// more than an expression, or an expression that awaits something itself.
fn is_code(tokens: &TokenStream) -> bool {
    match syn::parse2::<Expr>(tokens.clone()) {
        Ok(Expr::Await(_) | Expr::Try(_)) => true,
        Ok(_) => false,
        Err(_) => true,
    }
}

/// `n`, `_`, `n: &Nursery<'_, '_>`
fn parameter(input: ParseStream<'_>) -> syn::Result<Pat> {
    let pat = Pat::parse_single(input)?;
    let Some(colon_token) = input.parse::<Option<Token![:]>>()? else {
        return Ok(pat);
    };
    let ty = input.parse()?;
    Ok(Pat::Type(PatType { attrs: Vec::new(), pat: Box::new(pat), colon_token, ty }))
}

fn wildcard() -> Pat {
    Pat::Verbatim(ours!(_))
}

/// The next token, to point at; the macro's name when there is none.
fn next_token(input: ParseStream<'_>) -> TokenStream {
    match input.cursor().token_tree() {
        Some((tree, _)) => tree.into(),
        None => TokenStream::new(),
    }
}
