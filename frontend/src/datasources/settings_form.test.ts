import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { t } from "../texts";
import { RULES, withContract, withRule, type Settings } from "./settings_form";

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
  it("removes a rule without severity and limit, but keeps a limit of 0", () => {
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

describe("the rules of the form", () => {
  it("are those of the contract, each with a name", () => {
    const contract = readFileSync("../protos/sluice/validation/v1/validation.proto", "utf8");
    const named = /message Rule \{[\s\S]*?in: \[([^\]]*)\]/.exec(contract)?.[1] ?? "";
    const names = [...named.matchAll(/"(\w+)"/g)].map((found) => found[1]);
    expect(names.length).toBeGreaterThan(0);
    expect([...RULES].sort()).toEqual(names.sort());
    expect(Object.keys(t.report.rule).sort()).toEqual(names);
  });
  it("do not promise a load without a time: that rule is about a name", () => {
    expect(t.report.rule.time_column).toMatch(/named/);
    expect(t.settings.ruleHint.time_column).toMatch(/always rejected/);
  });
});
