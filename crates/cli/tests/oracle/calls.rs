//! Calls of the schema's own functions, operators and casts, in every notation.

use crate::routines::{Argument, Returns, Routine};
use crate::statement::Writer;
use crate::world::Ty;

impl Writer<'_, '_> {
    /// A function that yields this. Those whose code nobody reads are rare.
    fn routine(&mut self, returns: Returns) -> Option<Routine> {
        let fitting: Vec<&Routine> =
            self.world.routines.iter().filter(|one| one.returns == returns).collect();
        let found = fitting.get(self.random.below(fitting.len()))?;
        let rare = found.opaque && !self.random.chance(15);
        (!rare).then(|| (*found).clone())
    }

    /// A call that yields one value.
    pub(crate) fn called(&mut self, ty: Ty) -> Option<String> {
        let routine = self.routine(Returns::One(ty))?;
        Some(self.call(&routine))
    }

    /// A call that yields rows `(x int, y text)`.
    pub(crate) fn rows(&mut self) -> String {
        match self.routine(Returns::Rows) {
            Some(routine) if self.random.chance(70) => self.call(&routine),
            Some(_) | None => format!("app.listing({})", self.expression(Ty::Int)),
        }
    }

    fn call(&mut self, routine: &Routine) -> String {
        let name = match routine.place().split_once('.') {
            Some(("app", bare)) if self.random.chance(40) => bare.to_owned(),
            Some(_) | None => routine.place(),
        };
        if let [Argument::Row(place)] = routine.arguments.as_slice() {
            return self.row_call((&name, &routine.name), place);
        }
        let mut arguments = Vec::new();
        for argument in &routine.arguments {
            arguments.push(match argument {
                Argument::Value(ty) => self.any(*ty),
                Argument::Row(place) => format!("NULL::{place}"),
            });
        }
        if let ([one], Some(own)) = (arguments.as_slice(), &routine.argument_name)
            && self.random.chance(15)
        {
            return format!("{name}({own} => {one})");
        }
        format!("{name}({})", arguments.join(", "))
    }

    /// `f(t)`, `t.f` and their like.
    fn row_call(&mut self, (name, bare): (&str, &str), place: &str) -> String {
        let fits = |alias: &&crate::statement::Alias| alias.row.as_deref() == Some(place);
        let scope = self.scopes.last().cloned().unwrap_or_default();
        let Some(row) = scope.iter().find(fits).map(|alias| alias.name.clone()) else {
            return match self.random.below(3) {
                0 => format!("{name}(NULL::{place})"),
                1 => format!("(SELECT q.{bare} FROM {place} q LIMIT 1)"),
                _ => format!("{name}((SELECT q FROM {place} q LIMIT 1))"),
            };
        };
        match self.random.below(5) {
            0 => format!("{name}({row})"),
            1 => format!("{row}.{bare}"),
            2 => format!("({row}).{bare}"),
            3 => format!("{name}({row}.*)"),
            _ => format!("(SELECT (p.r).{bare} FROM (SELECT {row} AS r) p)"),
        }
    }

    /// A value by way of the schema's own casts.
    pub(crate) fn converted(&mut self, ty: Ty) -> Option<String> {
        let value = self.any(Ty::Int);
        Some(match (ty, self.random.below(9)) {
            (Ty::Int, 0) => format!("(({value})::app.pair).x"),
            (Ty::Int, 1) => format!("((ARRAY[{value}]::app.pair[])[1]).x"),
            (Ty::Int, 2) => format!("((ARRAY[{value}]::app._pair)[1]).x"),
            (Ty::Int, 3) => format!("(({value})::app.dpair).x"),
            (Ty::Int, 4) => format!("((ROW({value}, 1)::app.nest).q).x"),
            (Ty::Int, 5) => format!("({value})::app.small"),
            (Ty::Int, 6) => format!("app.px({value})"),
            (Ty::Int, 7) => format!("CAST({value} AS app.small)"),
            (Ty::Int, 8) => format!("app.ps({value})"),
            (Ty::Text, 0..=3) => format!("(CAST({value} AS app.pair)).y"),
            (Ty::Text, 4) => format!("({}::app.pair)::text", self.any(Ty::Int)),
            (Ty::Text, 5) => {
                let pair = self.column(Ty::Pair)?;
                format!("{pair}::text")
            }
            (Ty::Int | Ty::Text | Ty::Pair, _) => return None,
        })
    }
}
