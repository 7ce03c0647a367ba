//! What a statement's text tells of its columns and parameters.
//!
//! SQLite's values have types, its columns hardly. So what a column of an answer is follows from the table's column that it
//! shows, a cast, or a function that is known; else from the values. Nothing here has to be right for a statement to
//! run: a wrong guess is a value that does not fit, and that is seen when the value is there.

mod guess;
mod items;

use std::collections::{BTreeMap, HashMap};

use super::{
    casts,
    token::{Kind, Token},
};
use crate::types::Type;
use guess::Text;
use items::items;

/// A column by its name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Field {
    /// What stands before the dot: a table, or another name for one.
    pub(crate) table: Option<String>,
    pub(crate) name: String,
}

/// A column of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Item {
    /// A table's column.
    Column(Field),
    /// What is reckoned with a table's column.
    Number(Field),
    /// All columns of the tables, or of this one.
    Star(Option<String>),
    Known(Type),
    Unknown,
}

/// What a parameter is compared with or stored in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Guess {
    Known(Type),
    Column(Field),
    /// A number, like this column if that is one.
    Number(Field),
    /// The column of the written table at this place.
    Place(usize),
}

/// What is known of a statement.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Outline {
    /// The columns of its answer.
    pub(crate) items: Vec<Item>,
    /// The tables that these show; none when they show anything but plain tables.
    pub(crate) shown: Vec<String>,
    /// All tables.
    pub(crate) tables: Vec<String>,
    pub(crate) parameters: BTreeMap<u16, Guess>,
    /// Other names for tables; nothing where one stands for several.
    aliases: BTreeMap<String, Option<String>>,
    /// Names for what is reckoned.
    reckoned: BTreeMap<String, Type>,
}

/// The columns of tables as they are declared, by the table's name in small letters.
pub(crate) type Declared = HashMap<String, Vec<(String, String)>>;

/// Tables that are looked up for one statement.
const TABLES: usize = 32;
/// Words that end a FROM.
const ENDS: &[&str] = &[
    "group",
    "having",
    "limit",
    "offset",
    "order",
    "returning",
    "select",
    "set",
    "where",
    "window",
];
/// Words after a table that are no other name for it.
const NO_ALIAS: &[&str] = &[
    "cross",
    "default",
    "except",
    "full",
    "indexed",
    "inner",
    "intersect",
    "join",
    "left",
    "natural",
    "outer",
    "right",
    "union",
    "window",
];

// === impl Outline ===

impl Outline {
    /// Of a query.
    pub(crate) fn of_query(tokens: &[Token<'_>]) -> Self {
        let mut outline = Self::of_any(tokens);
        let select = tokens.first().is_some_and(|token| token.is("select"));
        if !select || has_at_top(tokens, &["union", "except", "intersect"]) {
            return outline;
        }
        let from = find_at_top(tokens, "from").unwrap_or(tokens.len());
        let mut start = 1;
        if tokens
            .get(1)
            .is_some_and(|t| t.is("distinct") || t.is("all"))
        {
            start = 2;
        }
        outline.items = items(tokens.get(start..from).unwrap_or_default());
        outline.shown = plain_tables(tokens.get(from..).unwrap_or_default());
        outline
    }

    /// Of a write, whose answer begins at this token.
    pub(crate) fn of_write(tokens: &[Token<'_>], returning: Option<usize>) -> Self {
        let mut outline = Self::of_any(tokens);
        outline.inserted(tokens);
        if let Some(at) = returning {
            outline.items = items(tokens.get(at..).unwrap_or_default());
            outline.shown.extend(outline.tables.first().cloned());
        }
        outline
    }

    fn of_any(tokens: &[Token<'_>]) -> Self {
        let mut outline = Self::default();
        let text = Text::of(tokens);
        let mut open: Vec<usize> = Vec::new();
        // The depth of the FROM whose tables are listed.
        let mut listed = None;
        for (at, token) in tokens.iter().enumerate() {
            if token.is_sign("(") {
                open.push(at);
            } else if token.is_sign(")") {
                open.pop();
            }
            let from = token.is("from");
            if from || token.is("join") || token.is("into") || token.is("update") {
                listed = from.then_some(open.len()).or(listed);
                outline.table(tokens.get(at + 1..).unwrap_or_default());
            } else if listed == Some(open.len()) && token.is_sign(",") {
                outline.table(tokens.get(at + 1..).unwrap_or_default());
            } else if ENDS.iter().any(|word| token.is(word)) {
                listed = listed.filter(|depth| *depth != open.len());
            } else if token.is("as") {
                outline.name(tokens.get(at + 1), text.left(at));
            } else if let Kind::Parameter(n) = token.kind
                && let Some(guess) = text.parameter(at, open.last().copied())
            {
                outline.parameters.entry(n).or_insert(guess);
            }
        }
        outline
    }

    /// A table is named here, perhaps with another name for it.
    fn table(&mut self, tokens: &[Token<'_>]) {
        let Some((name, alias)) = table(tokens).filter(|_| self.tables.len() < TABLES) else {
            return;
        };
        for alias in [Some(name.clone()), alias].into_iter().flatten() {
            let known = self.aliases.entry(alias);
            known
                .and_modify(|of| *of = of.take().filter(|of| *of == name))
                .or_insert_with(|| Some(name.clone()));
        }
        self.tables.push(name);
    }

    /// An expression is given a name.
    fn name(&mut self, name: Option<&Token<'_>>, value: Option<Guess>) {
        if let (Some(name), Some(Guess::Known(kind))) = (name.and_then(Token::name), value) {
            self.reckoned
                .entry(name.to_ascii_lowercase())
                .or_insert(kind);
        }
    }

    /// The parameters that stand in an INSERT's lists of values.
    fn inserted(&mut self, tokens: &[Token<'_>]) -> Option<()> {
        let into = tokens.iter().take(8).position(|token| token.is("into"))?;
        let values = find_at_top(tokens, "values")?;
        let open = tokens
            .iter()
            .take(values)
            .skip(into)
            .position(|token| token.is_sign("("));
        let columns: Option<Vec<String>> = open.map(|open| {
            let names = tokens.iter().take(values).skip(into + open);
            names.filter_map(Token::name).collect()
        });
        let (mut depth, mut place) = (0usize, 0);
        for (at, token) in tokens.iter().enumerate().skip(values + 1) {
            if token.is_sign("(") {
                depth += 1;
                place = if depth == 1 { 0 } else { place };
            } else if token.is_sign(")") {
                depth = depth.saturating_sub(1);
            } else if token.is_sign(",") && depth == 1 {
                place += 1;
            } else if let (Kind::Parameter(n), 1) = (token.kind, depth) {
                if tokens
                    .get(at + 1)
                    .is_some_and(|next| next.kind == Kind::Cast)
                {
                    continue;
                }
                let guess = match &columns {
                    Some(columns) => Guess::Column(Field {
                        table: self.tables.first().cloned(),
                        name: columns.get(place)?.clone(),
                    }),
                    None => Guess::Place(place),
                };
                self.parameters.entry(n).or_insert(guess);
            }
        }
        Some(())
    }

    /// What each column of an answer is declared as, as far as is known.
    pub(crate) fn columns(&self, names: &[String], declared: &Declared) -> Vec<Option<Type>> {
        let is_star = |item: &Item| matches!(item, Item::Star(_));
        let stars = self.items.iter().filter(|item| is_star(item)).count();
        if stars > 0
            && let Some(all) = self.spread(declared).filter(|all| all.len() == names.len())
        {
            return all;
        }
        if stars == 0 {
            let items = self.items.iter().map(Some).chain(std::iter::repeat(None));
            let pairs = names.iter().zip(items);
            return pairs
                .map(|(name, item)| item.and_then(|item| self.item(item, name, declared)))
                .collect();
        }
        let first = self.items.iter().position(is_star).unwrap_or(0);
        let after = self.items.len() - first - 1;
        let many = names.iter().enumerate().map(|(at, name)| {
            let left = names.len() - at;
            let item = if at < first {
                self.items.get(at)
            } else if left > after || stars > 1 {
                Some(&Item::Star(None))
            } else {
                self.items.get(self.items.len() - left)
            };
            item.and_then(|item| self.item(item, name, declared))
        });
        many.collect()
    }

    /// The types of all columns, with those that stars stand for; nothing when a table is not known.
    fn spread(&self, declared: &Declared) -> Option<Vec<Option<Type>>> {
        let mut all = Vec::new();
        for item in &self.items {
            let Item::Star(of) = item else {
                all.push(self.item(item, "", declared));
                continue;
            };
            let named = of.as_deref().map(|of| self.aliased(of));
            let tables = match &named {
                Some(table) => std::slice::from_ref(table.as_ref()?),
                None => &self.shown[..],
            };
            for table in tables {
                let columns = declared.get(table)?.iter();
                all.extend(columns.map(|(_, kind)| Type::of_declared(kind)));
            }
        }
        Some(all)
    }

    fn item(&self, item: &Item, name: &str, declared: &Declared) -> Option<Type> {
        match item {
            Item::Column(field) => self.field(&self.shown, field, declared),
            Item::Number(field) => self
                .field(&self.shown, field, declared)
                .filter(|kind| kind.is_number()),
            Item::Star(_) => declared_in(&self.shown, name, declared).flatten(),
            Item::Known(kind) => Some(*kind),
            Item::Unknown => None,
        }
    }

    /// Whether the database has to be asked what parameters are.
    pub(crate) fn asks(&self, n: u16) -> bool {
        !matches!(self.parameters.get(&n), None | Some(Guess::Known(_)))
    }

    /// What a parameter is taken for, if anything tells.
    pub(crate) fn parameter(&self, n: u16, declared: &Declared) -> Option<Type> {
        match self.parameters.get(&n)? {
            Guess::Known(kind) => Some(*kind),
            Guess::Column(field) => self.field(&self.tables, field, declared),
            Guess::Number(field) => {
                let found = self.field(&self.tables, field, declared);
                Some(
                    found
                        .filter(|kind| kind.is_number())
                        .unwrap_or(Type::Numeric),
                )
            }
            Guess::Place(place) => {
                let columns = declared.get(self.tables.first()?)?;
                Type::of_declared(&columns.get(*place)?.1)
            }
        }
    }

    /// The table that a name stands for.
    fn aliased(&self, name: &str) -> Option<String> {
        self.aliases.get(&name.to_ascii_lowercase()).cloned()?
    }

    /// A column's type; none when tables differ in it.
    fn field(&self, tables: &[String], field: &Field, declared: &Declared) -> Option<Type> {
        let table = field.table.as_deref().and_then(|name| self.aliased(name));
        let table = table.filter(|table| tables.contains(table));
        let tables = table.as_ref().map_or(tables, std::slice::from_ref);
        declared_in(tables, &field.name, declared).unwrap_or_else(|| {
            let name = field.name.to_ascii_lowercase();
            self.reckoned.get(&name).copied()
        })
    }
}

/// A column's type, if there is such a column; none when tables differ in it.
fn declared_in(tables: &[String], column: &str, declared: &Declared) -> Option<Option<Type>> {
    let mut found = None;
    for (name, kind) in tables
        .iter()
        .filter_map(|table| declared.get(table))
        .flatten()
    {
        if !name.eq_ignore_ascii_case(column) {
            continue;
        }
        let kind = Type::of_declared(kind);
        if found.is_some_and(|before| before != kind) {
            return Some(None);
        }
        found = Some(kind);
    }
    found
}

/// The table that these tokens begin with, and the other name that it is given.
fn table(tokens: &[Token<'_>]) -> Option<(String, Option<String>)> {
    let first = tokens.first()?.name()?;
    let qualified = tokens.get(1).is_some_and(|token| token.is_sign("."));
    let name = if qualified {
        tokens.get(2)?.name()?
    } else {
        first
    };
    let mut next = if qualified { 3 } else { 1 };
    let named = tokens.get(next).is_some_and(|token| token.is("as"));
    next += usize::from(named);
    let alias = tokens.get(next).filter(|token| {
        let word = NO_ALIAS.iter().any(|word| token.is(word));
        named || !word && !casts::is_keyword(token)
    });
    let alias = alias.and_then(Token::name);
    Some((
        name.to_ascii_lowercase(),
        alias.map(|alias| alias.to_ascii_lowercase()),
    ))
}

/// The tables of a FROM, if it has nothing but tables.
fn plain_tables(from: &[Token<'_>]) -> Vec<String> {
    let (mut found, mut expected, mut depth) = (Vec::new(), false, 0usize);
    for (at, token) in from.iter().enumerate() {
        if depth == 0 && ENDS.iter().any(|word| token.is(word)) {
            break;
        }
        if expected {
            match table(from.get(at..).unwrap_or_default()) {
                Some((name, _)) if found.len() < TABLES => found.push(name),
                _ => return Vec::new(),
            }
        }
        expected = depth == 0 && (token.is("from") || token.is("join") || token.is_sign(","));
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth = depth.saturating_sub(1);
        }
    }
    found
}

/// The position of a word outside of parentheses.
pub(crate) fn find_at_top(tokens: &[Token<'_>], word: &str) -> Option<usize> {
    let mut depth = 0usize;
    tokens.iter().position(|token| {
        if token.is_sign("(") {
            depth += 1;
        } else if token.is_sign(")") {
            depth = depth.saturating_sub(1);
        }
        depth == 0 && token.is(word)
    })
}

fn has_at_top(tokens: &[Token<'_>], words: &[&str]) -> bool {
    words.iter().any(|word| find_at_top(tokens, word).is_some())
}

fn is_compare(token: &Token<'_>) -> bool {
    ["=", "<", ">", "!"].iter().any(|sign| token.is_sign(sign))
}

fn is_arithmetic(token: &Token<'_>) -> bool {
    ["+", "-", "*", "/", "%"]
        .iter()
        .any(|sign| token.is_sign(sign))
}

/// Whether `->` or `->>` begins here.
fn is_json(tokens: &[Token<'_>], at: usize) -> bool {
    let arrow = tokens.get(at + 1).filter(|next| next.is_sign(">"));
    tokens.get(at).is_some_and(|minus| minus.is_sign("-")) && arrow.is_some_and(|t| !t.apart)
}
