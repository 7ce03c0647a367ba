//! The functions there are.

use std::borrow::Cow;

use super::{
    Fault, Type, Value, cast,
    eval::{Evaluation, Failed},
};

/// A function, told apart by its name and the number of its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Abs,
    Bool,
    Concat,
    ConcatWs,
    Int,
    IsBool,
    IsInt,
    Left,
    Length,
    Lower,
    Right,
    String,
    Substring,
    Trim,
    Upper,
}

/// Name, arguments at least and at most. IS_BOOL and IS_INT were in the drafts of the specification and left with 1.0.
const ALL: [(&str, usize, usize, Function); 15] = [
    ("ABS", 1, 1, Function::Abs),
    ("BOOL", 1, 1, Function::Bool),
    ("CONCAT", 0, usize::MAX, Function::Concat),
    ("CONCAT_WS", 1, usize::MAX, Function::ConcatWs),
    ("INT", 1, 1, Function::Int),
    ("IS_BOOL", 1, 1, Function::IsBool),
    ("IS_INT", 1, 1, Function::IsInt),
    ("LEFT", 2, 2, Function::Left),
    ("LENGTH", 1, 1, Function::Length),
    ("LOWER", 1, 1, Function::Lower),
    ("RIGHT", 2, 2, Function::Right),
    ("STRING", 1, 1, Function::String),
    ("SUBSTRING", 2, 3, Function::Substring),
    ("TRIM", 1, 1, Function::Trim),
    ("UPPER", 1, 1, Function::Upper),
];

// === impl Function ===

impl Function {
    /// The function of this name, in capitals, that takes so many arguments.
    pub(super) fn find(name: &str, arguments: usize) -> Option<Self> {
        let found = ALL.iter().find(|(known, least, most, _)| {
            *known == name && (*least..=*most).contains(&arguments)
        });
        found.map(|(.., function)| *function)
    }

    /// What helps whoever wrote a call that no function answers.
    pub(super) fn hint(name: &str) -> String {
        match ALL.iter().find(|(known, ..)| *known == name) {
            Some((_, least, most, _)) if least == most => format!("{name} takes {least}"),
            Some((_, least, usize::MAX, _)) => format!("{name} takes {least} or more"),
            Some((_, least, most, _)) => format!("{name} takes {least} to {most}"),
            None => {
                let names: Vec<_> = ALL.iter().map(|(name, ..)| *name).collect();
                format!("there are {}", names.join(", "))
            }
        }
    }

    pub(super) fn returns(self) -> Type {
        match self {
            Self::Abs | Self::Int | Self::Length => Type::Integer,
            Self::Bool | Self::IsBool | Self::IsInt => Type::Boolean,
            Self::Concat | Self::ConcatWs | Self::Left | Self::Lower | Self::Right => Type::String,
            Self::String | Self::Substring | Self::Trim | Self::Upper => Type::String,
        }
    }

    /// The type that an argument becomes, unless the function takes any.
    pub(super) fn parameter(self, place: usize) -> Option<Type> {
        match self {
            Self::IsBool | Self::IsInt => None,
            Self::Abs | Self::Int => Some(Type::Integer),
            Self::Bool => Some(Type::Boolean),
            Self::Left | Self::Right | Self::Substring if place > 0 => Some(Type::Integer),
            _ => Some(Type::String),
        }
    }

    /// The arguments are of the types that [`Function::parameter`] names.
    pub(super) fn call<'a>(
        self,
        arguments: Vec<Value<'a>>,
        work: &Evaluation<'a>,
    ) -> Result<Value<'a>, Failed<'a>> {
        let mut arguments = arguments.into_iter();
        let first = arguments.next();
        match (self, first) {
            (Self::Abs, Some(Value::Integer(number))) => match number.checked_abs() {
                Some(number) => Ok(Value::Integer(number)),
                None => Err(Failed::with(Value::Integer(i32::MAX), Fault::Overflow)),
            },
            (Self::IsBool, Some(value)) => Ok(Value::Boolean(cast::boolean(value).is_ok())),
            (Self::IsInt, Some(value)) => Ok(Value::Boolean(cast::integer(value).is_ok())),
            // The cast was all.
            (Self::Bool | Self::Int | Self::String, Some(value)) => Ok(value),
            (Self::Concat, first) => joined("", first.into_iter().chain(arguments), work),
            (Self::ConcatWs, Some(Value::String(between))) => joined(&between, arguments, work),
            (function, Some(Value::String(text))) => {
                work.spend(text.len())?;
                let number = |value| match value {
                    Some(Value::Integer(number)) => Some(number),
                    _ => None,
                };
                let numbers = (number(arguments.next()), number(arguments.next()));
                function.of_text(text, numbers)
            }
            // No function has such arguments, once they are cast.
            (function, _) => Err(function.failed()),
        }
    }

    fn of_text<'a>(
        self,
        text: Cow<'a, str>,
        numbers: (Option<i32>, Option<i32>),
    ) -> Result<Value<'a>, Failed<'a>> {
        let length = || text.chars().count();
        Ok(Value::String(match (self, numbers) {
            (Self::Length, _) => {
                return Ok(Value::Integer(i32::try_from(length()).unwrap_or(i32::MAX)));
            }
            (Self::Lower, _) => Cow::Owned(text.to_lowercase()),
            (Self::Upper, _) => Cow::Owned(text.to_uppercase()),
            (Self::Trim, _) => {
                let trimmed = text.trim();
                match trimmed.len() == text.len() {
                    true => text,
                    false => Cow::Owned(trimmed.to_owned()),
                }
            }
            (Self::Left | Self::Right, (Some(count), _)) => match usize::try_from(count) {
                Err(_) => return Err(Failed::with(Value::String(text), self.fault())),
                Ok(count) if self == Self::Left => part(&text, 0, count),
                Ok(count) => part(&text, length().saturating_sub(count), usize::MAX),
            },
            (Self::Substring, (Some(start), len)) => {
                let count = usize::try_from(len.unwrap_or(i32::MAX)).map_err(|_| self.failed())?;
                let length = length();
                let away = usize::try_from(start.unsigned_abs()).unwrap_or(usize::MAX);
                match (start, away <= length) {
                    (0, _) => Cow::Borrowed(""),
                    (_, false) => return Err(self.failed()),
                    (1.., true) => part(&text, away - 1, count),
                    (_, true) => part(&text, length - away, count),
                }
            }
            (function, _) => return Err(function.failed()),
        }))
    }

    fn fault(self) -> Fault<'static> {
        let known = ALL.iter().find(|(.., function)| *function == self);
        Fault::Function(known.map_or("", |(name, ..)| name))
    }

    /// There is nothing to say but the zero.
    fn failed<'a>(self) -> Failed<'a> {
        Failed::from(self.fault())
    }
}

/// So many characters from there on.
fn part<'a>(text: &str, start: usize, count: usize) -> Cow<'a, str> {
    Cow::Owned(text.chars().skip(start).take(count).collect())
}

fn joined<'a>(
    between: &str,
    values: impl Iterator<Item = Value<'a>>,
    work: &Evaluation<'a>,
) -> Result<Value<'a>, Failed<'a>> {
    let mut text = String::new();
    for (place, value) in values.enumerate() {
        let value = cast::string(value);
        let between = if place == 0 { "" } else { between };
        work.spend(between.len() + value.len())?;
        text.push_str(between);
        text.push_str(&value);
    }
    Ok(Value::String(Cow::Owned(text)))
}
