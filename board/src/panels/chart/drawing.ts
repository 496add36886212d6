/** The chart on the page: lightweight-charts, in Warsaw time and the reader's language. */
import {
  BaselineSeries,
  CandlestickSeries,
  CrosshairMode,
  createChart,
  type DeepPartial,
  HistogramSeries,
  type IChartApi,
  type ISeriesApi,
  LineStyle,
  LineType,
  type PriceFormatCustom,
  TickMarkType,
  type Time,
  type TimeChartOptions,
  type UTCTimestamp,
} from "lightweight-charts";
import { digitsOf, warsawDate, warsawTime } from "../../i18n/format.ts";
import type { Bar, Hole } from "./candles.ts";

export interface Look {
  ink: string;
  faint: string;
  up: string;
  down: string;
  muted: string;
  /** For Intl. */
  language: string;
  /** Whether a point is a whole day: then the time of day means nothing. */
  daily: boolean;
}

/** Candles, or a line around the previous close (null: unknown, the line has one colour). */
export type Kind = { candles: true } | { candles: false; base: number | null };

type Point = Bar | Hole;
/** This many points from the left edge, older candles are requested. */
const NEAR = 20;
/** Half the width of a letter on the time axis, a little more than measured. */
const HALF_LETTER = 3.5;

export class Drawing {
  private readonly box: HTMLElement;
  private readonly chart: IChartApi;
  private readonly prices: ISeriesApi<"Candlestick"> | ISeriesApi<"Baseline">;
  private readonly volumes: ISeriesApi<"Histogram">;
  private readonly kind: Kind;
  private readonly base: number | null;
  private look: Look;
  private points: readonly Point[] = [];
  private digits = 2;
  private relabelling = 0;

  constructor(box: HTMLElement, kind: Kind, look: Look) {
    this.box = box;
    this.kind = kind;
    this.base = kind.candles ? null : kind.base;
    this.look = look;
    this.chart = createChart(box, { autoSize: true, ...options(look, this.fits) });
    this.prices = kind.candles ? this.chart.addSeries(CandlestickSeries) : this.chart.addSeries(BaselineSeries);
    this.volumes = this.chart.addSeries(HistogramSeries, { priceLineVisible: false, lastValueVisible: false }, 1);
    this.chart.panes()[0]?.setStretchFactor(4);
    if (!kind.candles && kind.base !== null) {
      this.prices.createPriceLine({
        price: kind.base,
        color: look.muted,
        lineWidth: 1,
        lineStyle: LineStyle.Dashed,
        axisLabelVisible: false,
      });
    }
    this.restyle(look);
    this.chart.timeScale().subscribeVisibleLogicalRangeChange(() => this.relabel());
    this.chart.timeScale().subscribeSizeChange(() => this.relabel());
  }

  restyle(look: Look): void {
    this.look = look;
    this.chart.applyOptions(options(look, this.fits));
    this.prices.applyOptions({ ...colours(this.kind, look), priceFormat: prices(look.language, this.digits) });
    this.volumes.applyOptions({ color: look.muted, priceFormat: shares(look.language) });
    if (this.points.length) this.draw(this.points);
  }

  draw(points: readonly Point[]): void {
    this.points = points;
    this.writeWith(digitsOf([this.base, ...points.flatMap(numbers)]));
    this.prices.setData(points.map((point) => this.price(point)) as never);
    this.volumes.setData(points.map(volume));
  }

  /** Draw the newest candle again. */
  update(bar: Bar): void {
    this.writeWith(Math.max(this.digits, digitsOf(numbers(bar))));
    this.prices.update(this.price(bar) as never);
    this.volumes.update(volume(bar));
  }

  /** Show all of it. */
  fit(): void {
    this.chart.timeScale().fitContent();
  }

  /** Calls `hovered` with the time of the point under the mouse, or null. A redraw moves the crosshair, too: ignored. */
  onHover(hovered: (time: number | null) => void): void {
    this.chart.subscribeCrosshairMove(({ time, sourceEvent }) => {
      if (sourceEvent) hovered(typeof time === "number" ? time : null);
    });
    this.box.addEventListener("mouseleave", () => hovered(null));
  }

  onLeftEdge(reached: () => void): void {
    this.chart.timeScale().subscribeVisibleLogicalRangeChange((range) => {
      if (range && range.from < NEAR) reached();
    });
  }

  point(bar: Bar): void {
    this.chart.setCrosshairPosition(bar.close, bar.time as UTCTimestamp, this.prices);
  }

  remove(): void {
    cancelAnimationFrame(this.relabelling);
    this.chart.remove();
  }

  private writeWith(digits: number): void {
    if (digits === this.digits) return;
    this.digits = digits;
    this.prices.applyOptions({ priceFormat: prices(this.look.language, digits) });
  }

  /** Whether a label at that time fits: the library would cut it off at the ends of the axis. */
  private readonly fits = (time: Time, label: string): boolean => {
    const scale = this.chart.timeScale();
    const at = scale.timeToCoordinate(time);
    const half = label.length * HALF_LETTER;
    return at === null || (at >= half && at <= scale.width() - half);
  };

  /** The library caches its labels; after scrolling, others fit. */
  private relabel(): void {
    this.relabelling ||= requestAnimationFrame(() => {
      this.relabelling = 0;
      this.chart.timeScale().applyOptions({});
    });
  }

  private price(point: Point): object {
    const time = point.time as UTCTimestamp;
    if (!("close" in point)) return { time };
    if (!this.kind.candles) return { time, value: point.close };
    const { open, high, low, close } = point;
    return { time, open, high, low, close };
  }
}

const numbers = (point: Point): number[] => ("close" in point ? [point.open, point.high, point.low, point.close] : []);

function volume(point: Point): { time: UTCTimestamp; value?: number } {
  const time = point.time as UTCTimestamp;
  return "close" in point && point.volume !== null ? { time, value: point.volume } : { time };
}

function colours(kind: Kind, look: Look): object {
  if (kind.candles) {
    const { up, down } = look;
    return { upColor: up, downColor: down, wickUpColor: up, wickDownColor: down, borderVisible: false };
  }
  const [above, below] = kind.base === null ? [look.ink, look.ink] : [look.up, look.down];
  return {
    baseValue: { type: "price", price: kind.base ?? 0 },
    topLineColor: above,
    bottomLineColor: below,
    topFillColor1: "transparent",
    topFillColor2: "transparent",
    bottomFillColor1: "transparent",
    bottomFillColor2: "transparent",
    lineWidth: 2,
    lineType: LineType.WithSteps, // a price holds until the next trade
  };
}

type Fits = (time: Time, label: string) => boolean;

function options(look: Look, fits: Fits): DeepPartial<TimeChartOptions> {
  const moment = moments(look.language, look.daily);
  return {
    layout: {
      background: { color: "transparent" },
      textColor: look.ink,
      attributionLogo: true,
      panes: { separatorColor: look.faint },
    },
    grid: { vertLines: { color: look.faint }, horzLines: { color: look.faint } },
    crosshair: { mode: CrosshairMode.Magnet },
    rightPriceScale: { borderColor: look.faint },
    timeScale: {
      borderColor: look.faint,
      timeVisible: !look.daily,
      rightOffset: 2,
      barSpacing: 5,
      tickMarkFormatter: tickMarks(look, fits),
    },
    localization: { locale: look.language, timeFormatter: (time: Time) => moment(Number(time)) },
  };
}

function formatter(language: string, parts: Intl.DateTimeFormatOptions): (time: number) => string {
  return (time) => warsawTime(time * 1000, language, parts);
}

/** What is written under the crosshair. */
export function moments(language: string, daily: boolean): (time: number) => string {
  const day: Intl.DateTimeFormatOptions = { weekday: "short", day: "numeric", month: "short" };
  if (daily) return formatter(language, { ...day, year: "numeric" });
  return (time) => warsawDate(time * 1000, language, { ...day, hour: "2-digit", minute: "2-digit" });
}

function tickMarks({ language, daily }: Look, fits: Fits): (time: Time, kind: TickMarkType) => string {
  const year = formatter(language, { year: "numeric" });
  const month = formatter(language, { month: "short" });
  const day = formatter(language, { day: "numeric", month: "short" });
  const clock = daily ? day : formatter(language, { hour: "2-digit", minute: "2-digit" });
  const of = (kind: TickMarkType): ((time: number) => string) => {
    if (kind === TickMarkType.Year) return year;
    if (kind === TickMarkType.Month) return month;
    return kind === TickMarkType.DayOfMonth ? day : clock;
  };
  return (time, kind) => {
    const label = of(kind)(Number(time)); // ours always are numbers
    return fits(time, label) ? label : "";
  };
}

/**
 * The smallest step is a grosz, or finer if the prices need it: with a coarser one a share of 0.0215 would have an axis
 * without labels, with a finer one a constant price would have a scale of hundredths of a grosz.
 */
function prices(language: string, digits: number): PriceFormatCustom {
  return written(language, 10 ** -digits, { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

function shares(language: string): PriceFormatCustom {
  return written(language, 1, { notation: "compact", maximumFractionDigits: 1 });
}

function written(language: string, minMove: number, format: Intl.NumberFormatOptions): PriceFormatCustom {
  return { type: "custom", minMove, formatter: new Intl.NumberFormat(language, format).format };
}
