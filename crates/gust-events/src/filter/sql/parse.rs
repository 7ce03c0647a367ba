//! From words to a tree: operators by how tightly they bind.

use std::borrow::Cow;

use super::{
    Expression, Value,
    function::Function,
    lex::{self, Token, Word},
    like::Pattern,
    shown,
    tree::{Arithmetic, Compare, Logic, Node, What},
};

/// What should be where, and what is.
#[derive(Debug)]
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) expected: &'static str,
    pub(super) found: String,
}

struct Parser<'t> {
    text: &'t str,
    /// Not taken yet.
    next: Token<'t>,
    depth: usize,
}

/// A part and how many levels it has.
struct Built {
    node: Node,
    height: usize,
}

/// An operator after its first operand.
#[derive(Clone, Copy)]
enum Operator {
    Logic(Logic),
    Compare(Compare),
    Arithmetic(Arithmetic),
    In,
    Like,
    /// Of NOT LIKE and NOT IN.
    Not,
}

const KEYWORDS: [&str; 9] = [
    "and", "or", "xor", "not", "like", "in", "exists", "true", "false",
];

pub(super) fn expression(text: &str) -> Result<Node, Wrong> {
    let mut parser = Parser {
        text,
        next: lex::next(text, 0)?,
        depth: 0,
    };
    let built = parser.expression(Operator::LOOSEST)?;
    match parser.next.word {
        Word::End => Ok(built.node),
        _ => Err(parser.wrong("an operator or the end")),
    }
}

// === impl Parser ===

impl<'t> Parser<'t> {
    /// An operand and every operator after it that binds at least so tightly.
    fn expression(&mut self, tightness: u8) -> Result<Built, Wrong> {
        self.depth += 1;
        if self.depth > Expression::MAX_DEPTH {
            return Err(self.too_deep());
        }
        let mut left = self.operand()?;
        while let Some(operator) = Operator::of(&self.next.word) {
            if operator.tightness() < tightness {
                break;
            }
            left = self.operation(left, operator)?;
            if left.height > Expression::MAX_DEPTH {
                return Err(self.too_deep());
            }
        }
        self.depth -= 1;
        Ok(left)
    }

    /// What may stand where a value is needed.
    fn operand(&mut self) -> Result<Built, Wrong> {
        let Token { at, end, word } = self.take()?;
        let what = match word {
            Word::Digits(digits) => self.integer(at, digits)?,
            Word::Text(text) => What::Literal(Value::String(Cow::Owned(text.into_owned()))),
            Word::Sign("(") => {
                let built = self.expression(Operator::LOOSEST)?;
                self.sign(")", "an operator or \")\"")?;
                return Ok(built);
            }
            // A sign right before digits is part of the number: the smallest one has no positive twin.
            Word::Sign(sign @ ("-" | "+")) => match self.next.word {
                Word::Digits(_) if self.next.at == end => {
                    let end = self.take()?.end;
                    self.integer(at, self.text.get(at..end).unwrap_or_default())?
                }
                _ if sign == "-" => return self.prefixed(at, What::Minus),
                _ => return Err(self.wrong("digits after \"+\"")),
            },
            Word::Name(_) if word.is("not") => return self.prefixed(at, What::Not),
            Word::Name(_) if word.is("true") => What::Literal(Value::Boolean(true)),
            Word::Name(_) if word.is("false") => What::Literal(Value::Boolean(false)),
            Word::Name(_) if word.is("exists") => What::Exists(self.attribute()?),
            Word::Name(name) if self.next.word == Word::Sign("(") && !is_keyword(name) => {
                return self.call(at, name);
            }
            word => match attribute(&word) {
                Some(name) => What::Attribute(name),
                None => return Err(wrong(at, "a value", &word)),
            },
        };
        Ok(Built::leaf(at, what))
    }

    fn prefixed(&mut self, at: usize, what: fn(Box<Node>) -> What) -> Result<Built, Wrong> {
        let operand = self.expression(Operator::TIGHTEST)?;
        Ok(Built {
            height: operand.height + 1,
            node: Node {
                at,
                what: what(Box::new(operand.node)),
            },
        })
    }

    fn integer(&self, at: usize, digits: &str) -> Result<What, Wrong> {
        match digits.parse() {
            Ok(number) => Ok(What::Literal(Value::Integer(number))),
            Err(_) => Err(Wrong {
                at,
                expected: "an integer of 32 bits",
                found: shown(digits),
            }),
        }
    }

    fn operation(&mut self, left: Built, operator: Operator) -> Result<Built, Wrong> {
        let at = self.take()?.at;
        let (operator, negated) = match operator {
            Operator::Not => match Operator::of(&self.next.word) {
                Some(operator @ (Operator::In | Operator::Like)) => {
                    self.take()?;
                    (operator, true)
                }
                _ => return Err(self.wrong("LIKE or IN after NOT")),
            },
            operator => (operator, false),
        };
        let mut right = || self.expression(operator.tightness() + 1);
        match operator {
            Operator::Arithmetic(arithmetic) => {
                let what = |operands| What::Arithmetic(arithmetic, operands);
                Ok(joined(at, left, right()?, what))
            }
            Operator::Compare(compare) => {
                let what = |operands| What::Compare(compare, operands);
                Ok(joined(at, left, right()?, what))
            }
            Operator::Logic(logic) => Ok(row(at, left, logic, right()?)),
            Operator::Like => self.like(at, left, negated),
            // By now NOT has become one of the two.
            Operator::In | Operator::Not => self.contained(at, left, negated),
        }
    }

    fn like(&mut self, at: usize, left: Built, negated: bool) -> Result<Built, Wrong> {
        let Word::Text(pattern) = &self.next.word else {
            return Err(self.wrong("a pattern in quotes"));
        };
        let pattern = Pattern::new(pattern);
        self.take()?;
        Ok(Built {
            height: left.height + 1,
            node: Node {
                at,
                what: What::Like {
                    value: Box::new(left.node),
                    pattern,
                    negated,
                },
            },
        })
    }

    fn contained(&mut self, at: usize, left: Built, negated: bool) -> Result<Built, Wrong> {
        self.sign("(", "\"(\" and a list of values")?;
        let (set, height) = self.list()?;
        Ok(Built {
            height: left.height.max(height) + 1,
            node: Node {
                at,
                what: What::In {
                    value: Box::new(left.node),
                    set,
                    negated,
                },
            },
        })
    }

    fn call(&mut self, at: usize, name: &str) -> Result<Built, Wrong> {
        if !name.bytes().all(|b| b.is_ascii_alphabetic() || b == b'_') {
            return Err(self.wrong("an operator after an attribute"));
        }
        self.take()?;
        let (arguments, height) = match self.next.word {
            Word::Sign(")") => {
                self.take()?;
                (Vec::new(), 0)
            }
            _ => self.list()?,
        };
        let name = name.to_ascii_uppercase();
        Ok(Built {
            height: height + 1,
            node: Node {
                at,
                what: What::Call {
                    function: Function::find(&name, arguments.len()),
                    name: name.into(),
                    arguments,
                },
            },
        })
    }

    /// Values up to the closing parenthesis, at least one, and the height of the highest.
    fn list(&mut self) -> Result<(Vec<Node>, usize), Wrong> {
        let mut nodes = Vec::new();
        let mut height = 0;
        loop {
            let built = self.expression(Operator::LOOSEST)?;
            height = height.max(built.height);
            nodes.push(built.node);
            match self.next.word {
                Word::Sign(",") => drop(self.take()?),
                Word::Sign(")") => {
                    self.take()?;
                    return Ok((nodes, height));
                }
                _ => return Err(self.wrong("an operator, \",\" or \")\"")),
            }
        }
    }

    fn attribute(&mut self) -> Result<Box<str>, Wrong> {
        let name = attribute(&self.next.word).ok_or_else(|| self.wrong("an attribute"))?;
        self.take()?;
        Ok(name)
    }

    fn sign(&mut self, sign: &'static str, expected: &'static str) -> Result<(), Wrong> {
        if self.next.word != Word::Sign(sign) {
            return Err(self.wrong(expected));
        }
        self.take().map(drop)
    }

    fn take(&mut self) -> Result<Token<'t>, Wrong> {
        let next = lex::next(self.text, self.next.end)?;
        Ok(std::mem::replace(&mut self.next, next))
    }

    fn wrong(&self, expected: &'static str) -> Wrong {
        wrong(self.next.at, expected, &self.next.word)
    }

    fn too_deep(&self) -> Wrong {
        Wrong {
            at: self.next.at,
            expected: "at most 64 levels",
            found: "more".to_owned(),
        }
    }
}

fn wrong(at: usize, expected: &'static str, found: &Word<'_>) -> Wrong {
    Wrong {
        at,
        expected,
        found: found.shown(),
    }
}

/// An operator between two operands.
fn joined(
    at: usize,
    left: Built,
    right: Built,
    what: impl FnOnce(Box<(Node, Node)>) -> What,
) -> Built {
    Built {
        height: left.height.max(right.height) + 1,
        node: Node {
            at,
            what: what(Box::new((left.node, right.node))),
        },
    }
}

/// A row grows in its place.
fn row(at: usize, left: Built, operator: Logic, right: Built) -> Built {
    let (first, mut rest, at, height) = match left.node.what {
        What::Logic(first, rest) => (first, rest, left.node.at, left.height),
        what => {
            let first = Node {
                at: left.node.at,
                what,
            };
            (Box::new(first), Vec::new(), at, left.height + 1)
        }
    };
    rest.push((operator, right.node));
    Built {
        height: height.max(right.height + 1),
        node: Node {
            at,
            what: What::Logic(first, rest),
        },
    }
}

/// The name of an attribute, in the small letters that it has. In an expression letters are as people like.
fn attribute(word: &Word<'_>) -> Option<Box<str>> {
    match word {
        Word::Name(name) if !name.contains('_') && !is_keyword(name) => {
            Some(name.to_ascii_lowercase().into())
        }
        _ => None,
    }
}

fn is_keyword(name: &str) -> bool {
    KEYWORDS.iter().any(|word| name.eq_ignore_ascii_case(word))
}

// === impl Built ===

impl Built {
    fn leaf(at: usize, what: What) -> Self {
        Self {
            height: 1,
            node: Node { at, what },
        }
    }
}

// === impl Operator ===

impl Operator {
    const LOOSEST: u8 = 1;
    /// Of NOT and the minus before a value: no operator binds tighter.
    const TIGHTEST: u8 = 7;

    fn of(word: &Word<'_>) -> Option<Self> {
        Some(match word {
            Word::Sign("*") => Self::Arithmetic(Arithmetic::Multiply),
            Word::Sign("/") => Self::Arithmetic(Arithmetic::Divide),
            Word::Sign("%") => Self::Arithmetic(Arithmetic::Remainder),
            Word::Sign("+") => Self::Arithmetic(Arithmetic::Add),
            Word::Sign("-") => Self::Arithmetic(Arithmetic::Subtract),
            Word::Sign("=") => Self::Compare(Compare::Equal),
            Word::Sign("!=" | "<>") => Self::Compare(Compare::NotEqual),
            Word::Sign("<") => Self::Compare(Compare::Less),
            Word::Sign("<=") => Self::Compare(Compare::LessOrEqual),
            Word::Sign(">") => Self::Compare(Compare::Greater),
            Word::Sign(">=") => Self::Compare(Compare::GreaterOrEqual),
            word if word.is("and") => Self::Logic(Logic::And),
            word if word.is("or") => Self::Logic(Logic::Or),
            word if word.is("xor") => Self::Logic(Logic::Xor),
            word if word.is("like") => Self::Like,
            word if word.is("in") => Self::In,
            word if word.is("not") => Self::Not,
            _ => return None,
        })
    }

    fn tightness(self) -> u8 {
        match self {
            Self::Logic(_) => Self::LOOSEST,
            Self::Compare(_) => 2,
            Self::Arithmetic(Arithmetic::Add | Arithmetic::Subtract) => 3,
            Self::Arithmetic(_) => 4,
            Self::In => 5,
            Self::Like | Self::Not => 6,
        }
    }
}
