// The page as SVG text: boxes, texts, and what is drawn on canvases.
import { clipAreas, drawn, escaped } from './recorder';

interface Box {
  left: number;
  top: number;
  right: number;
  bottom: number;
}

const short = (value: number): string => String(Math.round(value * 10) / 10);
const visible = (color: string): boolean => color !== 'transparent' && !/,\s*0\)$/.test(color);

function common(one: Box, other: Box): Box {
  return {
    left: Math.max(one.left, other.left), top: Math.max(one.top, other.top),
    right: Math.min(one.right, other.right), bottom: Math.min(one.bottom, other.bottom),
  };
}

/** Return the lines of a text as they are broken on the page. */
function linesOf(node: Text): Array<{ text: string; box: DOMRect }> {
  const range = document.createRange();
  range.selectNodeContents(node);
  if (range.getClientRects().length < 2) {
    return [{ text: node.data, box: range.getBoundingClientRect() }];
  }
  const lines: Array<{ text: string; box: DOMRect }> = [];
  for (let at = 0; at < node.length; at += 1) {
    range.setStart(node, at);
    range.setEnd(node, at + 1);
    const box = range.getBoundingClientRect();
    const last = lines.at(-1);
    if (last && Math.abs(last.box.top - box.top) < 2) {
      last.text += node.data[at];
    } else {
      lines.push({ text: node.data[at], box });
    }
  }
  return lines;
}

/** Return an element of the page as SVG text. */
export function drawingOf(root: Element, width: number, height: number): string {
  const marks: string[] = [];
  const clips = new Map<string, string>();

  function place(mark: string, box: Box, clip: Box) {
    const seen = common(box, clip);
    if (seen.left >= seen.right || seen.top >= seen.bottom) {
      return;
    }
    const whole = seen.left - box.left < 1 && box.right - seen.right < 1 && seen.top - box.top < 1 && box.bottom - seen.bottom < 1;
    if (whole) {
      marks.push(mark);
      return;
    }
    const area = `x="${short(clip.left)}" y="${short(clip.top)}" width="${short(clip.right - clip.left)}" height="${short(clip.bottom - clip.top)}"`;
    if (!clips.has(area)) {
      clips.set(area, `b${clips.size}`);
    }
    marks.push(`<g clip-path="url(#${clips.get(area)})">${mark}</g>`);
  }

  function box(style: CSSStyleDeclaration, at: DOMRect, clip: Box) {
    const area = `x="${short(at.left)}" y="${short(at.top)}" width="${short(at.width)}" height="${short(at.height)}"`;
    const radius = Math.min(parseFloat(style.borderRadius), at.height / 2);
    const round = radius ? ` rx="${short(radius)}"` : '';
    const framed = ['Top', 'Right', 'Bottom', 'Left'].filter((side) => parseFloat((style as any)[`border${side}Width`]) && visible((style as any)[`border${side}Color`]));
    const stroke = framed.length === 4 ? ` stroke="${style.borderTopColor}"` : '';
    if (visible(style.backgroundColor) || stroke) {
      place(`<rect ${area}${round} fill="${visible(style.backgroundColor) ? style.backgroundColor : 'none'}"${stroke}/>`, at, clip);
    }
    if (framed.includes('Bottom') && !stroke) {
      place(`<path stroke="${style.borderBottomColor}" d="M${short(at.left)} ${short(at.bottom)}h${short(at.width)}"/>`, at, clip);
    }
  }

  function walk(element: Element, outer: Box) {
    const style = getComputedStyle(element);
    const at = element.getBoundingClientRect();
    if (style.display === 'none' || style.visibility === 'hidden' || style.opacity === '0') {
      return;
    }
    box(style, at, outer);
    const clip = style.overflow === 'visible' ? outer : common(outer, at);
    if (element instanceof HTMLCanvasElement) {
      place(`<g transform="translate(${short(at.left)} ${short(at.top)})">${drawn(element)}</g>`, at, clip);
      return;
    }
    if (element instanceof SVGSVGElement) {
      const copy = element.cloneNode(true) as SVGSVGElement;
      copy.setAttribute('x', short(at.left));
      copy.setAttribute('y', short(at.top));
      copy.setAttribute('color', style.color);
      place(new XMLSerializer().serializeToString(copy).replace(/ (class|style)="[^"]*"/g, ''), at, clip);
      return;
    }
    for (const child of element.childNodes) {
      if (child instanceof Element) {
        walk(child, clip);
      } else if (child instanceof Text && child.data.trim()) {
        const size = parseFloat(style.fontSize);
        const weight = Number(style.fontWeight) > 400 ? ` font-weight="${style.fontWeight}"` : '';
        for (const line of linesOf(child)) {
          const baseline = line.box.top + line.box.height / 2 + size * 0.36;
          place(`<text x="${short(line.box.left)}" y="${short(baseline)}" font-size="${short(size)}"${weight} fill="${style.color}">${escaped(line.text.trim())}</text>`, line.box, clip);
        }
      }
    }
  }

  walk(root, { left: 0, top: 0, right: width, bottom: height });
  const definitions = [...clips].map(([area, id]) => `<clipPath id="${id}"><rect ${area}/></clipPath>`).join('');
  const back = getComputedStyle(document.body).backgroundColor;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="Inter, Helvetica, Arial, sans-serif">` +
    `<defs>${definitions}${clipAreas()}</defs><rect width="100%" height="100%" fill="${back}"/>\n${marks.join('\n')}\n</svg>\n`;
}
