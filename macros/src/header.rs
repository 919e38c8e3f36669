//! From the tokens of a block macro's input to its model: what stands before the body, and the body.
//!
//! The body stays tokens here. Only the header is syntax of ours, so only the header is parsed.

use proc_macro2::{Delimiter, Span, TokenStream, TokenTree};
use quote::{ToTokens, TokenStreamExt};
use syn::parse::discouraged::Speculative;
use syn::parse::{ParseStream, Parser};
use syn::{Attribute, Expr, Pat, PatType, Token, Type};

use crate::errors::Errors;
use crate::kind::Kind;

/// The input of one block macro.
pub(crate) struct Call {
    pub(crate) kind: Kind,

    /// The duration or instant of `move_on_after!` and its kin.
    pub(crate) limit: Option<Expr>,

    /// `move`, when the body is to own what it uses.
    pub(crate) capture: Option<Token![move]>,

    /// What stands between the bars: the nursery, then the scope's handle.
    pub(crate) parameters: Vec<Parameter>,

    /// The type after `->`, in `try_nursery!` only.
    pub(crate) result: Option<Type>,

    /// The statements of the body, without braces around them.
    pub(crate) body: TokenStream,
}

/// `n`, `_`, `n: &Nursery<'_, '_>`, `#[expect(unused)] n`
pub(crate) struct Parameter {
    attrs: Vec<Attribute>,
    pub(crate) pat: Pat,
}

impl ToTokens for Parameter {
    fn to_tokens(&self, tokens: &mut TokenStream) {
        tokens.append_all(&self.attrs);
        self.pat.to_tokens(tokens);
    }
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

    fn parameters(&mut self, input: ParseStream<'_>) -> syn::Result<Vec<Parameter>> {
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
            if input.is_empty() {
                return Err(syn::Error::new_spanned(bar, format!("expected a second `|`: `{usage}`")));
            }
            let first = next_token(input);
            let wrong = |_| syn::Error::new_spanned(first, format!("expected the name of the {subject}: `{usage}`"));
            parameters.push(parameter(input).map_err(wrong)?);
            if !input.is_empty() && !input.peek(Token![|]) && input.parse::<Option<Token![,]>>()?.is_none() {
                let found = next_token(input);
                return Err(syn::Error::new_spanned(found, format!("expected `|` or `,` behind a name: `{usage}`")));
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
        let Some(arrow) = input.parse::<Option<Token![->]>>()? else {
            return Ok(None);
        };
        let wrong = |_| syn::Error::new_spanned(arrow, "expected a type behind `->`: `-> Result<_, Error>`");
        let result = input.call(Type::without_plus).map_err(wrong)?;
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
        let ahead = input.fork();
        if let (Ok(limit), Ok(_)) = (ahead.parse(), ahead.parse::<Token![,]>()) {
            input.advance_to(&ahead);
            return Ok(limit);
        }
        // Without the comma, `limit { … }` looks like a struct.
        let limit = input.call(Expr::parse_without_eager_brace)?;
        let message = if input.is_empty() { "expected" } else { "expected `,` and a block behind this:" };
        Err(syn::Error::new_spanned(limit, format!("{message} `{usage}`")))
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
            None if kind == Kind::Shield && starts_with_move(&rest) => {
                Err(syn::Error::new_spanned(rest, "`move` goes before braces: `shield!(move { … })`"))
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
/// more than an expression, or one that awaits something itself, or that looks like a statement.
fn is_code(tokens: &TokenStream) -> bool {
    match syn::parse2::<Expr>(tokens.clone()) {
        Ok(Expr::Await(_) | Expr::Try(_)) => true,
        Ok(Expr::Block(_) | Expr::Unsafe(_) | Expr::If(_) | Expr::Match(_)) => true,
        Ok(Expr::ForLoop(_) | Expr::While(_) | Expr::Loop(_)) => true,
        Ok(_) => false,
        Err(_) => true,
    }
}

/// `move foo().await`, but not `move |x| …`, which is a closure.
fn starts_with_move(tokens: &TokenStream) -> bool {
    let mut trees = tokens.clone().into_iter();
    let is_move = matches!(trees.next(), Some(TokenTree::Ident(first)) if first == "move");
    is_move && !matches!(trees.next(), Some(TokenTree::Punct(punct)) if punct.as_char() == '|')
}

fn parameter(input: ParseStream<'_>) -> syn::Result<Parameter> {
    let attrs = input.call(Attribute::parse_outer)?;
    if input.peek(Token![self]) {
        return Err(input.error("a parameter of the block, not of the function"));
    }
    let pat = Pat::parse_single(input)?;
    let Some(colon_token) = input.parse::<Option<Token![:]>>()? else {
        return Ok(Parameter { attrs, pat });
    };
    let ty = input.parse()?;
    let pat = Pat::Type(PatType { attrs: Vec::new(), pat: Box::new(pat), colon_token, ty });
    Ok(Parameter { attrs, pat })
}

/// For a name that is missing.
fn wildcard() -> Parameter {
    Parameter { attrs: Vec::new(), pat: Pat::Verbatim(ours!(_)) }
}

/// The next token, to point at; the macro's name when there is none.
fn next_token(input: ParseStream<'_>) -> TokenStream {
    match input.cursor().token_tree() {
        Some((tree, _)) => tree.into(),
        None => TokenStream::new(),
    }
}
