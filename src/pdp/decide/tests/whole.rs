//! The slice that is asked, against the whole set.

use cedar_policy::Schema;
use proptest::prelude::*;

use super::*;
use crate::pdp::testing::random;

/// Whole set, whole context, Cedar's own authorizer: what the index and the lean context must equal.
fn reference(policies: &Policies, asked: &Asked, schema: &Schema) -> Decision {
    let judged = asked.ask(|question| {
        let (agent, target) = policies.admit(question)?;
        let lean = policies.request(question, &agent.uid, target, &Reads::everything())?;
        let request = Request::new(
            agent.uid.clone(),
            target.action.clone(),
            target.resource.clone(),
            lean.context().unwrap().clone(),
            Some(schema),
        );
        let (entities, whole) = (&policies.directory.entities, policies.index.whole());
        let response = Authorizer::new().is_authorized(&request.unwrap(), &whole, entities);
        let depends = policies.index.slice(agent, target).depends;
        policies.weigh_response(&response, question, depends)
    });
    match judged {
        Ok(permit) => Decision::Allow(permit),
        Err(denial) => Decision::Deny(denial),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_slice_decides_as_the_whole_set_does(
        statements in prop::collection::vec(random::statement(), 1..12),
        questions in prop::collection::vec(random::asked(), 12),
    ) {
        let text = statements.join("\n");
        let policies = House::new().policies(&text);
        let (schema, _) = Schema::from_cedarschema_str(policies.schema()).unwrap();
        for asked in &questions {
            let expected = format!("{:?}", reference(&policies, asked, &schema));
            // Twice: the second answer comes from the cached slice.
            for _ in 0..2 {
                let got = format!("{:?}", asked.ask(|question| policies.decide(question)));
                prop_assert_eq!(&got, &expected, "{}\n{:#?}", text, asked);
            }
        }
    }
}
