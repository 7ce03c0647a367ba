//! What an expression comes to for an event.

use std::{borrow::Cow, cell::Cell};

use gust_types::{Event, event};

use super::{
    Fault, Value, cast,
    function::Function,
    tree::{Arithmetic, Compare, Logic, Node, What},
};

/// Bytes that may go through functions and patterns for one event: some milliseconds. Expressions are bounded and so are
/// attributes; a thousand patterns over a large attribute are still more than a filter is worth.
const WORK: usize = 8 << 20;

/// One expression over one event.
pub(super) struct Evaluation<'a> {
    event: &'a Event,
    left: Cell<usize>,
}

/// A fault, and the value of what failed where that is not its zero.
pub(super) struct Failed<'a> {
    value: Option<Value<'a>>,
    fault: Fault<'a>,
}

type Outcome<'a, T = Value<'a>> = Result<T, Failed<'a>>;

pub(super) fn evaluate<'a>(root: &'a Node, event: &'a Event) -> (Value<'a>, Option<Fault<'a>>) {
    let evaluation = Evaluation {
        event,
        left: Cell::new(WORK),
    };
    match evaluation.value(root) {
        Ok(value) => (value, None),
        Err(Failed { value, fault }) => (value.unwrap_or_else(|| root.zero()), Some(fault)),
    }
}

// === impl Evaluation ===

impl<'a> Evaluation<'a> {
    /// Counts what is done, and ends what is too much.
    pub(super) fn spend(&self, bytes: usize) -> Outcome<'a, ()> {
        let left = self.left.get().checked_sub(bytes).ok_or(Fault::Work)?;
        self.left.set(left);
        Ok(())
    }

    fn value(&self, node: &'a Node) -> Outcome<'a> {
        Ok(match &node.what {
            What::Literal(value) => value.borrowed(),
            What::Attribute(name) => match self.event.attribute(name) {
                Some(value) => attribute(value),
                None => return Err(Fault::MissingAttribute(name).into()),
            },
            What::Exists(name) => Value::Boolean(self.event.attribute(name).is_some()),
            What::Not(operand) => Value::Boolean(!self.boolean(operand)?),
            What::Minus(operand) => {
                let number = self.integer(operand)?;
                Value::Integer(number.checked_neg().ok_or(Fault::Overflow)?)
            }
            What::Like {
                value,
                pattern,
                negated,
            } => {
                let text = cast::string(self.operand(value)?);
                let matches = pattern.matches(&text, |bytes| self.spend(bytes))?;
                Value::Boolean(matches != *negated)
            }
            What::In {
                value,
                set,
                negated,
            } => Value::Boolean(self.contained(value, set)? != *negated),
            What::Arithmetic(operator, operands) => {
                let (left, right) = &**operands;
                let (left, right) = (self.integer(left)?, self.integer(right)?);
                Value::Integer(operator.apply(left, right)?)
            }
            What::Compare(operator, operands) => {
                let (left, right) = &**operands;
                Value::Boolean(self.compare(*operator, left, right)?)
            }
            What::Logic(first, rest) => Value::Boolean(self.logic(first, rest)?),
            What::Call {
                name,
                function,
                arguments,
            } => match function {
                Some(function) => return self.call(*function, arguments),
                None => return Err(Fault::MissingFunction(name, arguments.len()).into()),
            },
        })
    }

    /// A value that something else is made of: if it fails, its own value is of no interest.
    fn operand(&self, node: &'a Node) -> Outcome<'a> {
        self.value(node).map_err(|failed| failed.fault.into())
    }

    fn boolean(&self, node: &'a Node) -> Outcome<'a, bool> {
        Ok(cast::boolean(self.operand(node)?)?)
    }

    fn integer(&self, node: &'a Node) -> Outcome<'a, i32> {
        Ok(cast::integer(self.operand(node)?)?)
    }

    /// The left side becomes what the right side is; what has an order is integers.
    fn compare(&self, operator: Compare, left: &'a Node, right: &'a Node) -> Outcome<'a, bool> {
        if !matches!(operator, Compare::Equal | Compare::NotEqual) {
            let (left, right) = (self.integer(left)?, self.integer(right)?);
            return Ok(match operator {
                Compare::Less => left < right,
                Compare::LessOrEqual => left <= right,
                Compare::Greater => left > right,
                Compare::GreaterOrEqual => left >= right,
                Compare::Equal => left == right,
                Compare::NotEqual => left != right,
            });
        }
        let (left, right) = (self.operand(left)?, self.operand(right)?);
        let equal = self.equal(&cast::to(left, right.kind())?, &right)?;
        Ok(equal == (operator == Compare::Equal))
    }

    fn equal(&self, left: &Value<'a>, right: &Value<'a>) -> Outcome<'a, bool> {
        if let (Value::String(left), Value::String(right)) = (left, right) {
            self.spend(left.len().min(right.len()))?;
        }
        Ok(left == right)
    }

    /// The members become what the value is, in their order, until one is equal.
    fn contained(&self, value: &'a Node, set: &'a [Node]) -> Outcome<'a, bool> {
        let value = self.operand(value)?;
        for member in set {
            let member = cast::to(self.operand(member)?, value.kind())?;
            if self.equal(&member, &value)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// From the left, without what can change nothing.
    fn logic(&self, first: &'a Node, rest: &'a [(Logic, Node)]) -> Outcome<'a, bool> {
        let mut value = self.boolean(first)?;
        for (operator, operand) in rest {
            value = match (operator, value) {
                (Logic::And, false) => false,
                (Logic::Or, true) => true,
                (Logic::And | Logic::Or, _) => self.boolean(operand)?,
                (Logic::Xor, value) => value ^ self.boolean(operand)?,
            };
        }
        Ok(value)
    }

    fn call(&self, function: Function, arguments: &'a [Node]) -> Outcome<'a> {
        let mut values = Vec::with_capacity(arguments.len());
        for (place, argument) in arguments.iter().enumerate() {
            let value = self.operand(argument)?;
            values.push(match function.parameter(place) {
                Some(kind) => cast::to(value, kind)?,
                None => value,
            });
        }
        function.call(values, self)
    }
}

/// The attribute as one of the three types.
fn attribute(value: &event::Value) -> Value<'_> {
    match value {
        event::Value::Boolean(value) => Value::Boolean(*value),
        event::Value::Integer(value) => Value::Integer(*value),
        other => Value::String(other.text()),
    }
}

// === impl Failed ===

impl<'a> Failed<'a> {
    pub(super) fn with(value: Value<'a>, fault: Fault<'a>) -> Self {
        Self {
            value: Some(value),
            fault,
        }
    }
}

impl<'a> From<Fault<'a>> for Failed<'a> {
    fn from(fault: Fault<'a>) -> Self {
        Self { value: None, fault }
    }
}

// === impl Value ===

impl Value<'_> {
    /// The same without a copy of its text.
    fn borrowed(&self) -> Value<'_> {
        match self {
            Self::Boolean(value) => Value::Boolean(*value),
            Self::Integer(value) => Value::Integer(*value),
            Self::String(text) => Value::String(Cow::Borrowed(text)),
        }
    }
}

// === impl Arithmetic ===

impl Arithmetic {
    pub(super) fn apply(self, left: i32, right: i32) -> Result<i32, Fault<'static>> {
        let result = match self {
            Self::Divide | Self::Remainder if right == 0 => return Err(Fault::Division),
            Self::Multiply => left.checked_mul(right),
            Self::Divide => left.checked_div(right),
            // By -1 nothing remains, also of the smallest number.
            Self::Remainder => Some(left.wrapping_rem(right)),
            Self::Add => left.checked_add(right),
            Self::Subtract => left.checked_sub(right),
        };
        result.ok_or(Fault::Overflow)
    }
}
