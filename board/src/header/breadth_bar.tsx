import { number, percent } from "../i18n/format.ts";
import { languageTag, t } from "../i18n/index.ts";
import { breadth, type Move, names, selected, topDown, topUp } from "../store/index.ts";

/** Advancers, decliners, unchanged. */
export function BreadthBar() {
  const { up, unchanged, down, unknown } = breadth.value;
  return (
    <section class="breadth" aria-label={t("breadth")}>
      <dl>
        <Part name="up" label={t("up")} count={up} />
        <Part name="unchanged" label={t("unchanged")} count={unchanged} />
        {unknown > 0 && <Part name="unchanged" label={t("unknown")} count={unknown} />}
        <Part name="down" label={t("down")} count={down} />
      </dl>
      <div class="shares" aria-hidden="true">
        <span class="up" style={{ flexGrow: up }} />
        <span class="unchanged" style={{ flexGrow: unchanged + unknown }} />
        <span class="down" style={{ flexGrow: down }} />
      </div>
    </section>
  );
}

function Part({ name, label, count }: { name: string; label: string; count: number }) {
  return (
    <div class={name}>
      <dt>{label}</dt>
      <dd>{number(count, 0, languageTag.value)}</dd>
    </div>
  );
}

/** The stocks that moved most, both ways. */
export function Movers() {
  return (
    <div class="movers">
      <Top label={t("topUp")} way="up" moves={topUp.value} />
      <Top label={t("topDown")} way="down" moves={topDown.value} />
    </div>
  );
}

function Top({ label, way, moves }: { label: string; way: "up" | "down"; moves: readonly Move[] }) {
  return (
    <section class={`top ${way}`} aria-label={label}>
      <h2>{label}</h2>
      <ol>
        {moves.map(({ symbol, percent: moved }) => (
          <li key={symbol}>
            <button type="button" title={names.value.get(symbol)} onClick={() => (selected.value = symbol)}>
              <b>{symbol}</b> <span class={way}>{percent(moved, languageTag.value)}</span>
            </button>
          </li>
        ))}
      </ol>
    </section>
  );
}
