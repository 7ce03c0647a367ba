//! What can be said of an expression before there is an event.

use super::{
    Type, cast,
    function::Function,
    tree::{Arithmetic, Compare, Node, What},
};

/// A mistake and where it is.
pub(super) struct Wrong {
    pub(super) at: usize,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

/// The first mistake that no event can make good.
pub(super) fn predicate(root: &Node) -> Option<Wrong> {
    if let Some(wrong) = part(root) {
        return Some(wrong);
    }
    match root.kind() {
        None | Some(Type::Boolean) => None,
        Some(kind) => Some(Wrong {
            at: root.at,
            message: format!("a filter is true or false and not {kind}"),
            hint: Some("compare it with something".to_owned()),
        }),
    }
}

fn part(node: &Node) -> Option<Wrong> {
    match &node.what {
        What::Literal(_) | What::Attribute(_) | What::Exists(_) => None,
        What::Not(operand) => used_as(operand, Type::Boolean),
        What::Minus(operand) => used_as(operand, Type::Integer),
        What::Like { value, .. } => part(value),
        What::In { value, set, .. } => {
            let member = |member| match value.kind() {
                Some(kind) => used_as(member, kind),
                None => part(member),
            };
            part(value).or_else(|| set.iter().find_map(member))
        }
        What::Arithmetic(operator, operands) => {
            let (left, right) = &**operands;
            used_as(left, Type::Integer)
                .or_else(|| used_as(right, Type::Integer))
                .or_else(|| divided_by_zero(*operator, right))
        }
        What::Compare(operator, operands) => {
            let (left, right) = &**operands;
            compared(*operator, left, right)
        }
        What::Logic(first, rest) => used_as(first, Type::Boolean).or_else(|| {
            let mut rest = rest.iter();
            rest.find_map(|(_, operand)| used_as(operand, Type::Boolean))
        }),
        What::Call {
            name,
            function,
            arguments,
        } => match function {
            Some(function) => called(*function, arguments),
            None => Some(Wrong {
                at: node.at,
                message: format!(
                    "there is no such function with {} arguments: {name}",
                    arguments.len()
                ),
                hint: Some(Function::hint(name)),
            }),
        },
    }
}

fn compared(operator: Compare, left: &Node, right: &Node) -> Option<Wrong> {
    let equality = matches!(operator, Compare::Equal | Compare::NotEqual);
    if !equality {
        return used_as(left, Type::Integer).or_else(|| used_as(right, Type::Integer));
    }
    let left = match right.kind() {
        Some(kind) => used_as(left, kind),
        None => part(left),
    };
    left.or_else(|| part(right))
}

fn called(function: Function, arguments: &[Node]) -> Option<Wrong> {
    let mut arguments = arguments.iter().enumerate();
    arguments.find_map(|(place, argument)| match function.parameter(place) {
        Some(kind) => used_as(argument, kind),
        None => part(argument),
    })
}

/// A literal that does not become this type never will; all else has to be seen.
fn used_as(node: &Node, kind: Type) -> Option<Wrong> {
    let What::Literal(value) = &node.what else {
        return part(node);
    };
    cast::to(value.clone(), kind).err().map(|fault| Wrong {
        at: node.at,
        message: fault.to_string(),
        hint: None,
    })
}

fn divided_by_zero(operator: Arithmetic, right: &Node) -> Option<Wrong> {
    let What::Literal(value) = &right.what else {
        return None;
    };
    let zero = cast::integer(value.clone()) == Ok(0);
    let divides = matches!(operator, Arithmetic::Divide | Arithmetic::Remainder);
    (divides && zero).then(|| Wrong {
        at: right.at,
        message: "division by zero".to_owned(),
        hint: None,
    })
}
