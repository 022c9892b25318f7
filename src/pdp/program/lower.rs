//! From Cedar's tree to ours.

use std::str::FromStr;
use std::sync::Arc;

use cedar_policy::pst::{BinaryOp, Clause, EntityUID, Expr, Literal, PatternElem, UnaryOp, Var};
use cedar_policy::{
    Context, Entities, EntityId, EntityTypeName, EntityUid, EvalResult, Expression, Policy,
    Request, eval_expression,
};
use thiserror::Error;

use super::super::fact::Fact;
use super::super::history::Groups;
use super::facts::Slot;
use super::node::{Arithmetic, Comparison, Node};
use super::past::Past;
use super::pattern::Pattern;
use super::value::{Constant, Network};
use super::{Kind, Party};

/// What a rule uses that is not compiled. Such a rule is asked of Cedar, which costs more and changes
/// nothing else.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0}")]
pub(in crate::pdp) struct Uncovered(String);

type Lowered<T = Node> = Result<T, Uncovered>;

fn uncovered<T>(what: impl Into<String>) -> Lowered<T> {
    Err(Uncovered(what.into()))
}

/// The clauses of a policy: all have to be true.
pub(super) fn clauses(policy: &Policy, groups: &Groups) -> Lowered<Box<[Node]>> {
    let lowering = Lowering { groups };
    let tree = policy
        .to_pst()
        .map_err(|error| Uncovered(error.to_string()))?;
    let clauses = tree.body().clauses().iter();
    let clauses = clauses.map(|clause| match clause {
        Clause::When(condition) => lowering.node(condition),
        Clause::Unless(condition) => Ok(Node::Not(Box::new(lowering.node(condition)?))),
    });
    clauses.collect()
}

/// From Cedar's tree to ours, for one policy.
struct Lowering<'a> {
    /// What the names of groups mean in it.
    groups: &'a Groups,
}

impl Lowering<'_> {
    fn node(&self, expression: &Expr) -> Lowered {
        Ok(match expression {
            Expr::BinaryOp { op, left, right } => return self.binary(*op, left, right),
            Expr::GetAttr { expr, attr } => Node::Fact(self.slot(expr, attr)?),
            Expr::HasAttr { expr, attrs } => {
                let attrs: Vec<&str> = attrs.iter().map(|one| one.as_str()).collect();
                return self.has(expr, &attrs);
            }
            Expr::IfThenElse {
                cond,
                then_expr,
                else_expr,
            } => Node::If(Box::new([
                self.node(cond)?,
                self.node(then_expr)?,
                self.node(else_expr)?,
            ])),
            Expr::Is {
                expr,
                entity_type,
                in_expr,
            } => {
                let party = party(expr)?;
                let is = Node::Is(party, kind(&entity_type.to_string())?);
                match in_expr {
                    Some(of) => Node::And(Box::new([is, Node::In(party, entities(of)?)])),
                    None => is,
                }
            }
            Expr::Like { expr, pattern } => {
                let elements = pattern.iter().map(|element| match element {
                    PatternElem::Char(character) => Some(*character),
                    PatternElem::Wildcard => None,
                });
                Node::Like(Box::new(self.node(expr)?), Pattern::new(elements))
            }
            Expr::Literal(_) | Expr::Set(_) => Node::Constant(constant(expression)?),
            Expr::UnaryOp { op, expr } => return self.unary(*op, expr, expression),
            Expr::Var(Var::Context) => return uncovered("`context` as a whole"),
            Expr::Var(_) => Node::Party(party(expression)?),
            other => return uncovered(format!("`{other}`")),
        })
    }

    fn binary(&self, op: BinaryOp, left: &Expr, right: &Expr) -> Lowered {
        let pair = || Ok(Box::new([self.node(left)?, self.node(right)?]));
        let compare = |comparison| Ok(Node::Compare(comparison, pair()?));
        let arithmetic = |operator| Ok(Node::Arithmetic(operator, pair()?));
        match op {
            BinaryOp::Add => arithmetic(Arithmetic::Add),
            BinaryOp::And => Ok(Node::And(pair()?)),
            BinaryOp::Contains => Ok(Node::Contains(pair()?)),
            BinaryOp::ContainsAll => Ok(Node::ContainsAll(pair()?)),
            BinaryOp::ContainsAny => Ok(Node::ContainsAny(pair()?)),
            BinaryOp::DurationSince => Ok(Node::DurationSince(pair()?)),
            BinaryOp::Eq => Ok(Node::Equal(pair()?)),
            BinaryOp::Greater => compare(Comparison::Greater),
            BinaryOp::GreaterEq => compare(Comparison::GreaterOrEqual),
            BinaryOp::In => Ok(Node::In(party(left)?, entities(right)?)),
            BinaryOp::IsInRange => Ok(Node::InRange(pair()?)),
            BinaryOp::Less => compare(Comparison::Less),
            BinaryOp::LessEq => compare(Comparison::LessOrEqual),
            BinaryOp::Mul => arithmetic(Arithmetic::Multiply),
            BinaryOp::NotEq => Ok(Node::Not(Box::new(Node::Equal(pair()?)))),
            BinaryOp::Offset => Ok(Node::Offset(pair()?)),
            BinaryOp::Or => Ok(Node::Or(pair()?)),
            BinaryOp::Sub => arithmetic(Arithmetic::Subtract),
            other => uncovered(format!("`{other}`")),
        }
    }

    fn unary(&self, op: UnaryOp, inner: &Expr, whole: &Expr) -> Lowered {
        let operand = || self.node(inner).map(Box::new);
        let units = |milliseconds| Ok(Node::Units(milliseconds, operand()?));
        match op {
            UnaryOp::Datetime | UnaryOp::Duration | UnaryOp::Ip => {
                Ok(Node::Constant(constant(whole)?))
            }
            UnaryOp::IsEmpty => Ok(Node::IsEmpty(operand()?)),
            UnaryOp::IsIPV6 => Ok(Node::IsIpv6(operand()?)),
            UnaryOp::IsIPv4 => Ok(Node::IsIpv4(operand()?)),
            UnaryOp::IsLoopback => Ok(Node::IsLoopback(operand()?)),
            UnaryOp::IsMulticast => Ok(Node::IsMulticast(operand()?)),
            UnaryOp::Neg => Ok(Node::Negative(operand()?)),
            UnaryOp::Not => Ok(Node::Not(operand()?)),
            UnaryOp::ToDate => Ok(Node::ToDate(operand()?)),
            UnaryOp::ToDays => units(86_400_000),
            UnaryOp::ToHours => units(3_600_000),
            UnaryOp::ToMilliseconds => units(1),
            UnaryOp::ToMinutes => units(60_000),
            UnaryOp::ToSeconds => units(1_000),
            UnaryOp::ToTime => Ok(Node::ToTime(operand()?)),
            other => uncovered(format!("`{other}`")),
        }
    }

    /// `context.now`, `context.fact.part`, `context.history["operation or group"].part` or
    /// `context.history["operation or group"].sum.input`.
    fn slot(&self, expression: &Expr, attribute: &str) -> Lowered<Slot> {
        let path = path(expression);
        let slot = match path.as_deref() {
            Some([]) if attribute == Fact::Now.name() => Some(Slot::Now),
            Some([fact]) => Fact::named(fact).and_then(|fact| Slot::of(fact, attribute)),
            Some(["history", name]) => {
                Past::of(name, self.groups).and_then(|past| Slot::of_history(past, attribute))
            }
            Some(["history", name, "sum"]) => Past::summed(name, attribute, self.groups)
                .map(|past| Slot::HistorySum(past, Arc::from(attribute))),
            _ => None,
        };
        slot.map_or_else(
            || uncovered(format!("`{expression}.{attribute}` as a whole")),
            Ok,
        )
    }

    fn has(&self, expression: &Expr, attributes: &[&str]) -> Lowered {
        let missing = || uncovered(format!("`{expression} has {}`", attributes.join(".")));
        let Some(path) = path(expression) else {
            return missing();
        };
        match (&*path, attributes) {
            ([], [fact]) => match Fact::named(fact) {
                Some(fact) => Ok(Node::Present(fact)),
                None => missing(),
            },
            ([], [fact, part]) => {
                let Some(fact) = Fact::named(fact) else {
                    return missing();
                };
                let Some(slot) = Slot::of(fact, part) else {
                    return missing();
                };
                Ok(Node::And(Box::new([
                    Node::Present(fact),
                    Node::PresentPart(slot),
                ])))
            }
            ([_], [part]) => match self.slot(expression, part) {
                Ok(slot) => Ok(Node::PresentPart(slot)),
                Err(_) => missing(),
            },
            (["history", _], ["last_age_seconds"]) => self
                .slot(expression, "last_age_seconds")
                .map(Node::PresentPart),
            _ => missing(),
        }
    }
}

/// The attributes that lead from `context` to what an expression names; none if it is no such path.
fn path(expression: &Expr) -> Option<Vec<&str>> {
    match expression {
        Expr::GetAttr { expr, attr } => {
            let mut path = path(expr)?;
            path.push(attr.as_str());
            Some(path)
        }
        Expr::Var(Var::Context) => Some(Vec::new()),
        _ => None,
    }
}

fn party(expression: &Expr) -> Lowered<Party> {
    match expression {
        Expr::Var(Var::Action) => Ok(Party::Action),
        Expr::Var(Var::Principal) => Ok(Party::Principal),
        Expr::Var(Var::Resource) => Ok(Party::Resource),
        other => uncovered(format!("`{other}` where an entity is compared")),
    }
}

fn kind(name: &str) -> Lowered<Kind> {
    Kind::named(name).map_or_else(|| uncovered(format!("the type `{name}`")), Ok)
}

/// The entity that stands there, or the list of them.
fn entities(expression: &Expr) -> Lowered<Box<[EntityUid]>> {
    match expression {
        Expr::Literal(Literal::EntityUID(entity)) => Ok([uid(entity)?].into()),
        Expr::Set(listed) => {
            let listed = listed.iter().map(|one| match &**one {
                Expr::Literal(Literal::EntityUID(entity)) => uid(entity),
                other => uncovered(format!("`{other}` after `in`")),
            });
            listed.collect()
        }
        other => uncovered(format!("`{other}` after `in`")),
    }
}

fn uid(entity: &EntityUID) -> Lowered<EntityUid> {
    let name = entity.ty.to_string();
    kind(&name)?;
    let name = EntityTypeName::from_str(&name).map_err(|error| Uncovered(error.to_string()))?;
    Ok(EntityUid::from_type_name_and_id(
        name,
        EntityId::new(entity.eid.as_str()),
    ))
}

fn constant(expression: &Expr) -> Lowered<Constant> {
    match expression {
        Expr::Literal(Literal::Bool(value)) => Ok(Constant::Bool(*value)),
        Expr::Literal(Literal::EntityUID(entity)) => uid(entity).map(Constant::Entity),
        Expr::Literal(Literal::Long(value)) => Ok(Constant::Long(*value)),
        Expr::Literal(Literal::String(value)) => Ok(Constant::Text(value.as_str().into())),
        Expr::Set(listed) => {
            let listed = listed.iter().map(|one| constant(one));
            listed.collect::<Lowered<_>>().map(Constant::Set)
        }
        Expr::UnaryOp {
            op: op @ (UnaryOp::Datetime | UnaryOp::Duration | UnaryOp::Ip),
            expr,
        } => match (op, &**expr) {
            (UnaryOp::Ip, Expr::Literal(Literal::String(text))) => Network::read(text).map_or_else(
                || uncovered(format!("`{expression}`")),
                |network| Ok(Constant::Ip(network)),
            ),
            (UnaryOp::Duration, _) => {
                milliseconds(&format!("{expression}.toMilliseconds()")).map(Constant::Duration)
            }
            (UnaryOp::Datetime, _) => {
                let since = format!(
                    "{expression}.durationSince(datetime(\"1970-01-01\")).toMilliseconds()"
                );
                milliseconds(&since).map(Constant::Datetime)
            }
            _ => uncovered(format!("`{expression}`")),
        },
        other => uncovered(format!("`{other}` in a list")),
    }
}

/// Cedar's own reading of a moment or a duration.
fn milliseconds(text: &str) -> Lowered<i64> {
    let read = || {
        let expression = Expression::from_str(text).ok()?;
        let anybody = EntityUid::from_str("Agent::\"\"").ok()?;
        let request = Request::new(
            anybody.clone(),
            anybody.clone(),
            anybody,
            Context::empty(),
            None,
        );
        match eval_expression(&request.ok()?, &Entities::empty(), &expression).ok()? {
            EvalResult::Long(number) => Some(number),
            _ => None,
        }
    };
    read().map_or_else(|| uncovered(format!("`{text}`")), Ok)
}
