//! The ways out of a body, other than its end: `?`, `return`, `break`, `continue`.
//!
//! A body runs inside an async closure, where these would mean something else. So each one
//! becomes a variant of the block's exit enum, which the closure returns, and is done again
//! outside, behind the block, where it means what the user wrote.

use proc_macro2::{Delimiter, Group, Ident, Span, TokenStream, TokenTree};
use quote::{ToTokens, format_ident, quote_spanned};
use syn::parse::Parser;
use syn::punctuated::Punctuated;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Block, Expr, Item, Label, Lifetime, Macro, Pat, Path, Stmt, Token, Type};

use crate::errors::Errors;
use crate::header::Call;
use crate::kind::Kind;
use crate::{lower, ours_at};

/// One exit, in the order of the source.
pub(crate) struct Exit {
    /// Its variant of the exit enum, and the type parameter for what the variant carries.
    pub(crate) variant: Ident,

    kind: ExitKind,

    /// Whether a value goes along.
    pub(crate) carries: bool,

    /// The `cfg` predicate around it: where it is false, nothing says what type the value has.
    pub(crate) cfg: Option<TokenStream>,

    /// The place of the user's keyword or question mark.
    span: Span,
}

/// What an exit does.
enum ExitKind {
    Return,
    Break(Option<Lifetime>),
    Continue(Option<Lifetime>),
    Question,
}

impl Exit {
    /// Whether this is a `?`: in a nursery, an error that cancels the children.
    pub(crate) fn is_question(&self) -> bool {
        matches!(self.kind, ExitKind::Question)
    }

    /// The variable for what it carries.
    pub(crate) fn value(&self) -> Ident {
        Ident::new("value", ours_at(self.span))
    }

    /// The exit itself, to be done where the block stands, with the variable `value` if it carries one.
    pub(crate) fn again(&self) -> Expr {
        let span = ours_at(self.span);
        let value = self.carries.then(|| self.value());
        let tokens = match &self.kind {
            ExitKind::Return => quote_spanned!(span=> return #value),
            ExitKind::Break(label) => quote_spanned!(span=> break #label #value),
            ExitKind::Continue(label) => quote_spanned!(span=> continue #label),
            ExitKind::Question => quote_spanned!(span=> match #value? {}),
        };
        syn::parse2(tokens).expect("an exit is an expression")
    }
}

/// The names an expansion gives to its own items and variables.
///
/// Items are not hygienic, so their names are ones nobody writes; and since a nested block is
/// lowered inside the expansion of the outer one, each carries its depth.
pub(crate) struct Names {
    pub(crate) exit: Ident,
    pub(crate) witness: Ident,
}

impl Names {
    pub(crate) fn at_depth(depth: usize) -> Self {
        let span = Span::mixed_site();
        Self {
            exit: format_ident!("__TrioExit{}", depth, span = span),
            witness: format_ident!("witness{}", depth, span = span),
        }
    }
}

/// Replaces the exits of one body.
pub(crate) struct Exits<'a> {
    pub(crate) krate: &'a TokenStream,
    pub(crate) depth: usize,
    pub(crate) names: Names,
    pub(crate) found: Vec<Exit>,
    pub(crate) errors: Errors,

    /// In `try_nursery!`: a `?` is left as it is, since the closure's own result is the group's,
    /// and every other exit is wrapped in `Ok`.
    in_group: bool,

    /// The loops and labelled blocks inside the body around the place visited, outermost first.
    targets: Vec<Target>,

    /// The `cfg` predicates around the place visited.
    cfgs: Vec<TokenStream>,

    /// Inside a `try` block, whose `?` are its own.
    in_try_block: bool,
}

/// Something inside the body that a `break` or `continue` can name.
struct Target {
    label: Option<Lifetime>,
    is_loop: bool,
}

impl<'a> Exits<'a> {
    pub(crate) fn new(krate: &'a TokenStream, depth: usize, kind: Kind) -> Self {
        Self {
            krate,
            depth,
            names: Names::at_depth(depth),
            found: Vec::new(),
            errors: Errors::default(),
            in_group: kind == Kind::TryNursery,
            targets: Vec::new(),
            cfgs: Vec::new(),
            in_try_block: false,
        }
    }

    /// What the closure returns for this value at its end.
    pub(crate) fn value(&self, value: &TokenStream) -> TokenStream {
        let Names { exit, witness } = &self.names;
        self.outcome(&ours!(#exit::tie(#witness, #exit::Value { value: #value })))
    }

    /// What the closure returns for one of its exits.
    fn outcome(&self, exit: &TokenStream) -> TokenStream {
        if self.in_group { ours!(::core::result::Result::Ok(#exit)) } else { exit.clone() }
    }

    /// Runs `visit` with a further `cfg` predicate around.
    pub(crate) fn under(&mut self, cfg: Option<TokenStream>, visit: impl FnOnce(&mut Self)) {
        let depth = self.cfgs.len();
        self.cfgs.extend(cfg);
        visit(self);
        self.cfgs.truncate(depth);
    }

    /// Runs `visit` inside a loop or labelled block.
    pub(crate) fn inside<T>(&mut self, label: Option<&Label>, is_loop: bool, visit: impl FnOnce(&mut Self) -> T) -> T {
        self.targets.push(Target { label: label.map(|label| label.name.clone()), is_loop });
        let result = visit(self);
        self.targets.pop();
        result
    }

    /// Whether a `break` or `continue` stays inside the body.
    fn stays(&self, label: Option<&Lifetime>) -> bool {
        self.targets.iter().any(|target| match label {
            Some(label) => target.label.as_ref().is_some_and(|known| known.ident == label.ident),
            None => target.is_loop,
        })
    }

    fn note(&mut self, kind: ExitKind, carries: bool, span: Span) -> Ident {
        let variant = format_ident!("At{}", self.found.len(), span = Span::mixed_site());
        let cfg = match &self.cfgs[..] {
            [] => None,
            [one] => Some(one.clone()),
            many => Some(ours!(all(#(#many),*))),
        };
        self.found.push(Exit { variant: variant.clone(), kind, carries, cfg, span });
        variant
    }

    /// Input: `return Err(e)`
    /// Output: `return __TrioExit0::tie(witness0, __TrioExit0::At0 { value: Err(e) })`
    ///
    /// `tie` does nothing; through it the type that the place outside expects reaches the value.
    fn leave(&mut self, kind: ExitKind, value: Option<&Expr>, attrs: &[Attribute], span: Span) -> Expr {
        let variant = self.note(kind, value.is_some(), span);
        let Names { exit, witness } = &self.names;
        let span = ours_at(span);
        let made = match value {
            Some(value) => ours!(#exit::tie(#witness, #exit::#variant { value: #value })),
            None => ours!(#exit::tie(#witness, #exit::#variant)),
        };
        let outcome = self.outcome(&made);
        Expr::Verbatim(quote_spanned!(span=> #(#attrs)* return #outcome))
    }

    /// Input: `read()?`
    /// Output: `match Try::branch(read()) { Continue(value) => value, Break(value) => return __TrioExit0::At0 { value } }`
    ///
    /// The match begins and ends where the user's expression does, so that whatever is wrong with
    /// its value is reported there, and not at the whole block.
    fn question(&mut self, operand: &Expr, attrs: &[Attribute], mark: Span) -> Expr {
        let variant = self.note(ExitKind::Question, true, mark);
        let (krate, exit) = (self.krate, &self.names.exit);
        let outcome = self.outcome(&ours!(#exit::#variant { value }));
        let span = ours_at(mark);
        // The path is the user's question mark: that is where an operand of the wrong type is reported.
        let branch = quote_spanned!(span=> #krate::__private::Try::branch);
        let first = operand.to_token_stream().into_iter().next().map_or(mark, |tree| tree.span());
        let keyword = Token![match](first);
        let mut arms = Group::new(
            Delimiter::Brace,
            quote_spanned! {span=>
                ::core::ops::ControlFlow::Continue(value) => value,
                ::core::ops::ControlFlow::Break(value) => return #outcome,
            },
        );
        arms.set_span(mark);
        Expr::Verbatim(ours!(#(#attrs)* #keyword #branch(#operand) #arms))
    }

    /// A block macro inside the body: the whole nest is lowered here, in one go, so that the
    /// inner one's exits, done again, are plain syntax to the outer one.
    ///
    /// Input: `trio::shield!({ return x })`
    /// Output: `trio::shield!(@lowered { … })`, which is handed through as it is
    fn nested(&mut self, kind: Kind, mac: &mut Macro) {
        let mut errors = Errors::default();
        let call = Call::parse(kind, mac.tokens.clone(), &mut errors);
        // With a mistake in its header the macro is left alone, to report it itself; perhaps it
        // is somebody else's macro of that name.
        if let (Some(call), true) = (call, errors.is_empty()) {
            let block = lower::block(call, self.krate, errors, Some(self));
            mac.tokens = ours!(@lowered #block);
        }
    }

    /// Any other macro: its arguments, when they are expressions, are evaluated in the body.
    fn arguments(&mut self, mac: &mut Macro) {
        const NOT_EVALUATED: [&str; 6] =
            ["stringify", "concat", "quote", "quote_spanned", "parse_quote", "compile_error"];
        let name = mac.path.segments.last().map(|segment| segment.ident.to_string());
        if name.is_none_or(|name| NOT_EVALUATED.contains(&name.as_str())) {
            return;
        }
        let list = Punctuated::<Expr, Token![,]>::parse_terminated;
        let repeat = Punctuated::<Expr, Token![;]>::parse_terminated;
        if let Ok(mut arguments) = mac.parse_body_with(list) {
            arguments.iter_mut().for_each(|argument| self.visit_expr_mut(argument));
            mac.tokens = arguments.to_token_stream();
        } else if let Ok(mut arguments) = mac.parse_body_with(repeat) {
            arguments.iter_mut().for_each(|argument| self.visit_expr_mut(argument));
            mac.tokens = arguments.to_token_stream();
        } else {
            // Some are expressions, others are not: `matches!(read()?, Some(ref text))`.
            let trees: Vec<TokenTree> = std::mem::take(&mut mac.tokens).into_iter().collect();
            let pieces =
                trees.split_inclusive(|tree| matches!(tree, TokenTree::Punct(punct) if punct.as_char() == ','));
            mac.tokens = pieces.map(|piece| self.argument(piece)).collect();
        }
    }

    /// One argument among some that are not expressions, perhaps with a comma behind it.
    fn argument(&mut self, piece: &[TokenTree]) -> TokenStream {
        let tokens: TokenStream = piece.iter().cloned().collect();
        match Punctuated::<Expr, Token![,]>::parse_terminated.parse2(tokens.clone()) {
            Ok(mut argument) => {
                argument.iter_mut().for_each(|argument| self.visit_expr_mut(argument));
                argument.into_token_stream()
            }
            Err(_) => tokens,
        }
    }
}

impl VisitMut for Exits<'_> {
    fn visit_expr_mut(&mut self, expr: &mut Expr) {
        let cfg = cfg_of(attrs_of(expr));
        self.under(cfg, |this| this.expr(expr));
    }

    fn visit_stmt_mut(&mut self, stmt: &mut Stmt) {
        let cfg = match stmt {
            Stmt::Local(local) => cfg_of(&local.attrs),
            Stmt::Macro(mac) => cfg_of(&mac.attrs),
            Stmt::Item(_) | Stmt::Expr(..) => None,
        };
        self.under(cfg, |this| visit_mut::visit_stmt_mut(this, stmt));
    }

    /// `let … = read()? else { … }`: no brace may stand before that `else`.
    fn visit_local_init_mut(&mut self, init: &mut syn::LocalInit) {
        match &mut init.diverge {
            Some((_, otherwise)) => self.with_left(&mut init.expr, Some(otherwise)),
            None => self.visit_expr_mut(&mut init.expr),
        }
    }

    fn visit_arm_mut(&mut self, arm: &mut syn::Arm) {
        self.under(cfg_of(&arm.attrs), |this| visit_mut::visit_arm_mut(this, arm));
    }

    fn visit_field_value_mut(&mut self, field: &mut syn::FieldValue) {
        self.under(cfg_of(&field.attrs), |this| visit_mut::visit_field_value_mut(this, field));
    }

    fn visit_macro_mut(&mut self, mac: &mut Macro) {
        match Kind::of(&mac.path) {
            Some(kind) => self.nested(kind, mac),
            None => self.arguments(mac),
        }
    }

    /// Only the guard of a pattern is evaluated here.
    fn visit_pat_mut(&mut self, pat: &mut Pat) {
        if let Pat::Guard(guarded) = pat {
            self.visit_expr_mut(&mut guarded.guard);
        }
    }

    // What follows is not part of the body's own flow.
    fn visit_item_mut(&mut self, _: &mut Item) {}
    fn visit_type_mut(&mut self, _: &mut Type) {}
    fn visit_path_mut(&mut self, _: &mut Path) {}
    fn visit_attribute_mut(&mut self, _: &mut Attribute) {}
    fn visit_angle_bracketed_generic_arguments_mut(&mut self, _: &mut syn::AngleBracketedGenericArguments) {}
}

impl Exits<'_> {
    fn expr(&mut self, expr: &mut Expr) {
        match expr {
            Expr::Closure(_) | Expr::Async(_) | Expr::Const(_) => {}
            Expr::Try(question) if !self.in_group && !self.in_try_block => {
                self.visit_expr_mut(&mut question.expr);
                *expr = self.question(&question.expr, &question.attrs, question.question_token.span);
            }
            Expr::Return(leave) => {
                leave.expr.iter_mut().for_each(|value| self.visit_expr_mut(value));
                let (value, span) = (leave.expr.as_deref(), leave.return_token.span);
                *expr = self.leave(ExitKind::Return, value, &leave.attrs, span);
            }
            Expr::Break(leave) => {
                leave.expr.iter_mut().for_each(|value| self.visit_expr_mut(value));
                if !self.stays(leave.label.as_ref()) {
                    let kind = ExitKind::Break(leave.label.clone());
                    let (value, span) = (leave.expr.as_deref(), leave.break_token.span);
                    *expr = self.leave(kind, value, &leave.attrs, span);
                }
            }
            Expr::Continue(leave) => {
                if !self.stays(leave.label.as_ref()) {
                    let kind = ExitKind::Continue(leave.label.clone());
                    *expr = self.leave(kind, None, &leave.attrs, leave.continue_token.span);
                }
            }
            Expr::Assign(it) => self.with_left(&mut it.left, Some(&mut it.right)),
            Expr::Binary(it) => self.with_left(&mut it.left, Some(&mut it.right)),
            Expr::Call(it) => {
                self.with_left(&mut it.func, None);
                it.args.iter_mut().for_each(|argument| self.visit_expr_mut(argument));
            }
            Expr::Cast(it) => self.with_left(&mut it.expr, None),
            Expr::Index(it) => self.with_left(&mut it.expr, Some(&mut it.index)),
            Expr::Range(it) => {
                it.start.iter_mut().for_each(|start| self.with_left(start, None));
                it.end.iter_mut().for_each(|end| self.visit_expr_mut(end));
            }
            Expr::TryBlock(block) => {
                let outside = std::mem::replace(&mut self.in_try_block, true);
                self.visit_block_mut(&mut block.block);
                self.in_try_block = outside;
            }
            Expr::Loop(_) | Expr::While(_) | Expr::ForLoop(_) | Expr::Block(_) => self.enclosing(expr),
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }

    /// The operands of an expression that begins with `left`, which gets parentheses if it is a
    /// `?`: the match in its place would be a statement of its own where a statement may begin.
    fn with_left(&mut self, left: &mut Expr, right: Option<&mut Expr>) {
        self.parenthesized(left);
        right.into_iter().for_each(|right| self.visit_expr_mut(right));
    }

    fn parenthesized(&mut self, expr: &mut Expr) {
        let mark = match expr {
            Expr::Try(question) => Some(question.question_token.span),
            _ => None,
        };
        self.visit_expr_mut(expr);
        if let (Some(mark), Expr::Verbatim(tokens)) = (mark, expr) {
            let mut group = Group::new(Delimiter::Parenthesis, std::mem::take(tokens));
            group.set_span(mark);
            *tokens = TokenTree::from(group).into();
        }
    }

    /// Expressions that `break` or `continue` can name.
    fn enclosing(&mut self, expr: &mut Expr) {
        let body = |this: &mut Self, label: Option<&Label>, body: &mut Block| {
            this.inside(label, true, |this| this.visit_block_mut(body));
        };
        match expr {
            Expr::Loop(it) => body(self, it.label.as_ref(), &mut it.body),
            Expr::While(it) => self.inside(it.label.as_ref(), true, |this| {
                this.visit_expr_mut(&mut it.cond);
                this.visit_block_mut(&mut it.body);
            }),
            Expr::ForLoop(it) => {
                self.visit_expr_mut(&mut it.expr);
                body(self, it.label.as_ref(), &mut it.body);
            }
            Expr::Block(it) => match &it.label {
                Some(label) => self.inside(Some(label), false, |this| this.visit_block_mut(&mut it.block)),
                None => self.visit_block_mut(&mut it.block),
            },
            _ => visit_mut::visit_expr_mut(self, expr),
        }
    }
}

/// The predicate of the `#[cfg(…)]` among these attributes.
fn cfg_of(attrs: &[Attribute]) -> Option<TokenStream> {
    let mut predicates = attrs.iter().filter(|attr| attr.path().is_ident("cfg")).map(|attr| &attr.meta);
    let syn::Meta::List(list) = predicates.next()? else {
        return None;
    };
    Some(list.tokens.clone())
}

/// The attributes of the kinds of expression that can be a statement of their own.
fn attrs_of(expr: &Expr) -> &[Attribute] {
    match expr {
        Expr::Try(it) => &it.attrs,
        Expr::Return(it) => &it.attrs,
        Expr::Break(it) => &it.attrs,
        Expr::Continue(it) => &it.attrs,
        Expr::Loop(it) => &it.attrs,
        Expr::While(it) => &it.attrs,
        Expr::ForLoop(it) => &it.attrs,
        Expr::Block(it) => &it.attrs,
        Expr::Unsafe(it) => &it.attrs,
        Expr::If(it) => &it.attrs,
        Expr::Match(it) => &it.attrs,
        Expr::MethodCall(it) => &it.attrs,
        Expr::Call(it) => &it.attrs,
        Expr::Macro(it) => &it.attrs,
        Expr::Assign(it) => &it.attrs,
        Expr::Await(it) => &it.attrs,
        _ => &[],
    }
}
