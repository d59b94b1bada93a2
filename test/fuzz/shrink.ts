// SPDX-License-Identifier: Apache-2.0
import type { ConfigurationPlan } from './configurations.ts';
import type { Step, Story } from './steps.ts';

/**
 * Removes the parts that the difference does not need: ends of lists that fast-check has left, services and servers.
 * `differs` runs a story and says whether it still makes a difference.
 */
export async function shrink(story: Story, differs: (story: Story) => Promise<boolean>): Promise<Story> {
  let best = story;
  for (let goesOn = true; goesOn; ) {
    goesOn = false;
    for (const smaller of smallerStories(best)) {
      if (!(await differs(smaller))) continue;
      best = smaller;
      goesOn = true;
      break;
    }
  }
  return best;
}

function* smallerStories(story: Story): Generator<Story> {
  for (const steps of shorter(story.steps)) yield { ...story, steps };
  for (const configuration of smallerConfigurations(story.configuration)) yield { ...story, configuration };
  for (const [index, step] of story.steps.entries()) {
    for (const smaller of smallerSteps(step)) yield { ...story, steps: story.steps.with(index, smaller) };
  }
}

function* smallerSteps(step: Step): Generator<Step> {
  if (step.do === 'configure') for (const plan of smallerConfigurations(step.plan)) yield { ...step, plan };
  if (step.do === 'import') for (const records of shorter(step.records)) yield { ...step, records };
}

function* smallerConfigurations(plan: ConfigurationPlan): Generator<ConfigurationPlan> {
  for (const services of shorter(plan.services)) yield { ...plan, services };
  for (const [index, service] of plan.services.entries()) {
    const replaced = (changes: object): ConfigurationPlan => ({
      ...plan,
      services: plan.services.with(index, { ...service, ...changes }),
    });
    for (const servers of shorter(service.servers)) yield replaced({ servers });
    for (const slots of shorter(service.slots)) yield replaced({ slots });
    if (service.persistence !== undefined) yield replaced({ persistence: undefined });
    if (service.alive !== undefined) yield replaced({ alive: undefined });
  }
}

/** Without some of its elements: halves first, then one by one from the end. */
function* shorter<Value>(list: readonly Value[]): Generator<readonly Value[]> {
  if (list.length > 3) {
    yield list.slice(0, list.length >> 1);
    yield list.slice(list.length >> 1);
  }
  for (let index = list.length - 1; index >= 0; index -= 1) yield list.toSpliced(index, 1);
}
