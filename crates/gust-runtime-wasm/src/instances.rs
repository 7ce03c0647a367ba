//! How many core instances a component makes of itself, counted from its bytes: the engine only says so by failing to
//! instantiate it.

use wasmparser::{
    ComponentAlias, ComponentExternalKind, ComponentInstance, ComponentOuterAliasKind,
    ComponentTypeRef, Encoding, Instance, Parser, Payload,
};

/// The components that are open, outermost first.
#[derive(Default)]
struct Count(Vec<Open>);

/// A component (or a module) as far as it has been read.
struct Open {
    encoding: Encoding,
    /// How many core instances each component of its index space makes. What comes in from outside makes none here.
    components: Vec<u64>,
    /// How many it makes itself.
    made: u64,
}

/// Counts the core instances of a component, which is valid.
pub(crate) fn count(component: &[u8]) -> u64 {
    let mut count = Count::default();
    for payload in Parser::new(0).parse_all(component).flatten() {
        match payload {
            Payload::Version { encoding, .. } => count.open(encoding),
            Payload::End(_) => {
                if let Some(all) = count.close() {
                    return all;
                }
            }
            Payload::InstanceSection(section) => {
                let instances = section.into_iter().flatten();
                let made = instances.filter(|i| matches!(i, Instance::Instantiate { .. }));
                count.make(made.count() as u64);
            }
            Payload::ComponentInstanceSection(section) => {
                section
                    .into_iter()
                    .flatten()
                    .for_each(|i| count.instance(&i));
            }
            Payload::ComponentAliasSection(section) => {
                section.into_iter().flatten().for_each(|a| count.alias(&a));
            }
            Payload::ComponentImportSection(section) => {
                let imports = section.into_iter().flatten();
                let foreign = imports.filter(|i| matches!(i.ty, ComponentTypeRef::Component(_)));
                foreign.for_each(|_| count.component(0));
            }
            Payload::ComponentExportSection(section) => {
                let exports = section.into_iter().flatten();
                let again = exports.filter(|e| e.kind == ComponentExternalKind::Component);
                again.for_each(|e| count.component(count.of(0, e.index)));
            }
            _ => {}
        }
    }
    0
}

// === impl Count ===

impl Count {
    fn open(&mut self, encoding: Encoding) {
        self.0.push(Open {
            encoding,
            components: Vec::new(),
            made: 0,
        });
    }

    /// The innermost ends here. The number, when that is all.
    fn close(&mut self) -> Option<u64> {
        let closed = self.0.pop()?;
        if self.0.is_empty() {
            return Some(closed.made);
        }
        if closed.encoding == Encoding::Component {
            self.component(closed.made);
        }
        None
    }

    /// The innermost has one more component in its index space.
    fn component(&mut self, makes: u64) {
        if let Some(open) = self.0.last_mut() {
            open.components.push(makes);
        }
    }

    /// What a component makes that one of those around has, `outward` from the innermost.
    fn of(&self, outward: u32, index: u32) -> u64 {
        let around = self.0.iter().rev().nth(outward as usize);
        let found = around.and_then(|open| open.components.get(index as usize));
        found.copied().unwrap_or(0)
    }

    fn make(&mut self, more: u64) {
        if let Some(open) = self.0.last_mut() {
            open.made = open.made.saturating_add(more);
        }
    }

    fn instance(&mut self, instance: &ComponentInstance<'_>) {
        if let ComponentInstance::Instantiate {
            component_index, ..
        } = instance
        {
            self.make(self.of(0, *component_index));
        }
    }

    fn alias(&mut self, alias: &ComponentAlias<'_>) {
        match *alias {
            ComponentAlias::InstanceExport {
                kind: ComponentExternalKind::Component,
                ..
            } => self.component(0),
            ComponentAlias::Outer {
                kind: ComponentOuterAliasKind::Component,
                count,
                index,
            } => self.component(self.of(count, index)),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn instances_are_counted_wherever_they_are_made() {
        for (text, expected) in [
            ("(component)", 0),
            ("(component (core module) (core module))", 0),
            (
                "(component (core module $m) (core instance (instantiate $m)) (core instance (instantiate $m)))",
                2,
            ),
            (
                "(component (core module $m) (core instance $i (instantiate $m)) (core instance))",
                1,
            ),
            (
                "(component $top
                    (component $two
                        (core module $m)
                        (core instance (instantiate $m))
                        (core instance (instantiate $m)))
                    (component $four
                        (alias outer $top $two (component $c))
                        (instance (instantiate $c))
                        (instance (instantiate $c)))
                    (core module $m)
                    (core instance (instantiate $m))
                    (instance (instantiate $two))
                    (instance (instantiate $four))
                    (instance (instantiate $four)))",
                11,
            ),
        ] {
            let bytes = wat::parse_str(text).unwrap();
            assert_eq!(super::count(&bytes), expected, "{text}");
        }
    }
}
