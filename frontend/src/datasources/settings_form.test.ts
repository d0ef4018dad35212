import { describe, expect, it } from "vitest";
import { withContract, withRule, type Settings } from "./settings_form";

const NOTHING: Settings = { policy: null, options: null };

describe("withRule", () => {
  it("changes one rule and leaves the others", () => {
    const one = withRule(NOTHING, "min_columns", { limit: 3 });
    const two = withRule(one, "max_null_share", { severity: "WARN" });
    const both = withRule(two, "min_columns", { severity: "OFF" });
    expect(both.policy?.rules).toEqual([
      { name: "max_null_share", severity: "WARN", limit: null },
      { name: "min_columns", severity: "OFF", limit: 3 },
    ]);
  });
  it("forgets a rule of which nothing is said any more, but not a limit of nothing", () => {
    const zero = withRule(NOTHING, "max_reject_share", { limit: 0 });
    expect(zero.policy?.rules).toHaveLength(1);
    expect(withRule(zero, "max_reject_share", { limit: null }).policy?.rules).toEqual([]);
  });
});

describe("withContract", () => {
  it("keeps the rest of the policy", () => {
    const rules = withRule({ policy: { rules: [], contract: null, type_share: 0.9 }, options: null }, "min_columns", { limit: 2 });
    const frozen = withContract(rules, "FREEZE");
    expect(frozen.policy).toMatchObject({ contract: { mode: "FREEZE" }, type_share: 0.9 });
    expect(withContract(frozen, "").policy?.contract).toBeNull();
  });
});
