// Records what is drawn on canvases as SVG, because a graph is a canvas, and a picture in the
// repository is text. Has to be imported before anything that draws.

const short = (value: number): string => String(Math.round(value * 10) / 10);

class Trace {
  d = '';
  moveTo(x: number, y: number) { this.d += `M${short(x)} ${short(y)}`; }
  // A path may begin with a line.
  lineTo(x: number, y: number) { this.d += `${this.d ? 'L' : 'M'}${short(x)} ${short(y)}`; }
  closePath() { this.d += 'Z'; }
  rect(x: number, y: number, w: number, h: number) { this.d += `M${short(x)} ${short(y)}h${short(w)}v${short(h)}h${short(-w)}Z`; }
  roundRect(x: number, y: number, w: number, h: number) { this.rect(x, y, w, h); }
  bezierCurveTo(...at: number[]) { this.d += `C${at.map(short).join(' ')}`; }
  quadraticCurveTo(...at: number[]) { this.d += `Q${at.map(short).join(' ')}`; }
  arcTo(x1: number, y1: number, x2: number, y2: number) { this.quadraticCurveTo(x1, y1, x2, y2); }
  arc(x: number, y: number, r: number) {
    // Only whole circles are drawn: points.
    this.d += `M${short(x - r)} ${short(y)}a${r} ${r} 0 1 0 ${2 * r} 0a${r} ${r} 0 1 0 ${-2 * r} 0Z`;
  }
}

const STEPS = ['moveTo', 'lineTo', 'closePath', 'rect', 'roundRect', 'bezierCurveTo', 'quadraticCurveTo', 'arcTo', 'arc'] as const;

class RecordedPath extends Path2D {
  trace = new Trace();
  constructor(from?: Path2D | string) {
    super(from);
    this.trace.d = from instanceof RecordedPath ? from.trace.d : '';
  }
  addPath(path: Path2D, transform?: DOMMatrix2DInit) {
    super.addPath(path, transform);
    this.trace.d += (path as RecordedPath).trace.d;
  }
}

interface Recording {
  trace: Trace;
  clips: string[];
  saved: string[][];
  marks: string[];
}

const recordings = new WeakMap<HTMLCanvasElement, Recording>();

function of(context: CanvasRenderingContext2D): Recording {
  let recording = recordings.get(context.canvas);
  if (!recording) {
    recording = { trace: new Trace(), clips: [], saved: [], marks: [] };
    recordings.set(context.canvas, recording);
  }
  return recording;
}

/** Return what is on a canvas, as SVG. */
export const drawn = (canvas: HTMLCanvasElement): string => recordings.get(canvas)?.marks.join('') ?? '';

/** Return the areas to which drawings are clipped, as SVG. */
export const clipAreas = (): string => [...clipIds].map(([d, id]) => `<clipPath id="${id}"><path d="${d}"/></clipPath>`).join('');

export const escaped = (text: string): string => text.replace(/&/g, '&amp;').replace(/</g, '&lt;').replace(/"/g, '&quot;');

const clipIds = new Map<string, string>();
const finite = (args: any[]): boolean => args.every((value) => typeof value !== 'number' || Number.isFinite(value));

function mark(context: CanvasRenderingContext2D, element: string) {
  const recording = of(context);
  const { a, b, c, d, e, f } = context.getTransform();
  const moved = a === 1 && b === 0 && c === 0 && d === 1 && e === 0 && f === 0 ? '' : ` transform="matrix(${[a, b, c, d, e, f].map(short).join(' ')})"`;
  const placed = element.replace(/^<(\w+)/, `<$1${moved}`);
  const clip = recording.clips.at(-1);
  if (!clip) {
    recording.marks.push(placed);
    return;
  }
  let id = clipIds.get(clip);
  if (!id) {
    id = `c${clipIds.size}`;
    clipIds.set(clip, id);
  }
  recording.marks.push(`<g clip-path="url(#${id})">${placed}</g>`);
}

const opacity = (context: CanvasRenderingContext2D) => (context.globalAlpha < 1 ? ` opacity="${context.globalAlpha}"` : '');

function stroked(context: CanvasRenderingContext2D, d: string) {
  const dash = context.getLineDash();
  if (d && context.lineWidth > 0) {
    mark(context, `<path fill="none" stroke="${context.strokeStyle}" stroke-width="${short(context.lineWidth)}"${dash.length ? ` stroke-dasharray="${dash.map(short).join(' ')}"` : ''}${opacity(context)} d="${d}"/>`);
  }
}

const filled = (context: CanvasRenderingContext2D, d: string) => d && context.globalAlpha > 0 && mark(context, `<path fill="${context.fillStyle}"${opacity(context)} d="${d}"/>`);

function written(context: CanvasRenderingContext2D, text: string, x: number, y: number) {
  const size = Number(/([\d.]+)px/.exec(context.font)?.[1] ?? 12);
  const below = { top: 0.8, hanging: 0.8, middle: 0.35, alphabetic: 0, ideographic: -0.2, bottom: -0.2 }[context.textBaseline];
  const anchor = { left: 'start', start: 'start', center: 'middle', right: 'end', end: 'end' }[context.textAlign];
  mark(context, `<text x="${short(x)}" y="${short(y + below * size)}" font-size="${size}" text-anchor="${anchor}" fill="${context.fillStyle}">${escaped(text)}</text>`);
}

/** Run `before` whenever a method is called. */
function watch(prototype: any, name: string, before: (self: any, args: any[]) => void) {
  const original = prototype[name];
  prototype[name] = function (...args: any[]) {
    before(this, args);
    return original.apply(this, args);
  };
}

const context = CanvasRenderingContext2D.prototype;
const pathOf = (self: CanvasRenderingContext2D, args: any[]): string => (args[0] instanceof RecordedPath ? args[0].trace.d : of(self).trace.d);
for (const step of STEPS) {
  // Canvases ignore what is not finite.
  watch(RecordedPath.prototype, step, (self, args) => finite(args) && self.trace[step](...args));
  watch(context, step, (self, args) => finite(args) && (of(self).trace[step] as any)(...args));
}
window.Path2D = RecordedPath;
watch(context, 'beginPath', (self) => (of(self).trace = new Trace()));
watch(context, 'save', (self) => of(self).saved.push(of(self).clips));
watch(context, 'restore', (self) => (of(self).clips = of(self).saved.pop() ?? []));
watch(context, 'clip', (self, args) => (of(self).clips = [...of(self).clips, pathOf(self, args)]));
watch(context, 'stroke', (self, args) => stroked(self, pathOf(self, args)));
watch(context, 'fill', (self, args) => filled(self, pathOf(self, args)));
watch(context, 'fillText', (self, [text, x, y]) => written(self, text, x, y));
watch(context, 'fillRect', (self, [x, y, w, h]) => filled(self, `M${short(x)} ${short(y)}h${short(w)}v${short(h)}h${short(-w)}Z`));
watch(context, 'clearRect', (self) => (of(self).marks = []));
