// The panels whose components are part of Grafana itself and of no package, drawn in a simpler way.
// Names, units, colours and texts still come from the dashboard's field configuration.
import { DataFrame, FieldType, getFieldDisplayName, getValueFormat, formattedValueToString } from '@grafana/data';
import React from 'react';
import type { Drawn } from './panels';

const valueField = (frame: DataFrame) => frame.fields.find((field) => field.type === FieldType.number)!;
const timeField = (frame: DataFrame) => frame.fields.find((field) => field.type === FieldType.time)!;
const LABELS = 200;

/** One row per series; runs of the same text are one box. */
export function StateTimeline({ frames, width, height, theme, shown }: Drawn) {
  const row = (height - 20) / frames.length;
  const x = (time: number) => LABELS + ((time - shown.from) / (shown.to - shown.from)) * (width - LABELS);
  return (
    <svg width={width} height={height} fontSize={12} fill={theme.colors.text.primary}>
      {frames.map((frame, number) => {
        const [times, field] = [timeField(frame).values, valueField(frame)];
        const step = timeField(frame).config.interval ?? 15_000;
        const runs: Array<{ from: number; to: number; text: string; color: string }> = [];
        field.values.forEach((value, index) => {
          const { text, color } = field.display!(value);
          const last = runs.at(-1);
          if (last && last.text === text && times[index] - last.to <= step) {
            last.to = times[index] + step;
          } else {
            runs.push({ from: times[index], to: times[index] + step, text, color: color ?? 'grey' });
          }
        });
        return (
          <g key={number}>
            <text x={LABELS - 8} y={(number + 0.5) * row + 4} textAnchor="end">{getFieldDisplayName(field, frame, frames)}</text>
            {runs.map((run) => {
              const [left, right] = [Math.max(x(run.from), LABELS), Math.min(x(run.to), width)];
              return (
                <g key={run.from}>
                  <rect x={left} y={number * row + row * 0.1} width={Math.max(right - left, 1)} height={row * 0.8} fill={run.color} />
                  {right - left > run.text.length * 8 && <text x={left + 4} y={(number + 0.5) * row + 4} fill="#111">{run.text}</text>}
                </g>
              );
            })}
          </g>
        );
      })}
    </svg>
  );
}

/** Cumulative buckets as columns of counts; darker is more. */
export function Heatmap({ panel, frames, width, height, theme, shown }: Drawn) {
  const bounds = frames.map((frame) => ({ frame, le: Number((valueField(frame).labels?.le ?? '').replace('+Inf', 'Infinity')) }))
    .sort((one, other) => one.le - other.le);
  const cells: Array<{ time: number; row: number; count: number }> = [];
  const step = timeField(frames[0]).config.interval ?? 15_000;
  bounds.forEach(({ frame }, row) => {
    const below = row ? new Map(timeField(bounds[row - 1].frame).values.map((time, index) => [time, valueField(bounds[row - 1].frame).values[index]])) : new Map();
    timeField(frame).values.forEach((time, index) => {
      const count = valueField(frame).values[index] - (below.get(time) ?? 0);
      if (count > 0) {
        cells.push({ time, row, count });
      }
    });
  });
  const most = Math.max(...cells.map((cell) => cell.count));
  const [left, bottom] = [60, 20];
  const tall = (height - bottom) / bounds.length;
  const format = getValueFormat(panel.options?.yAxis?.unit ?? 'short');
  const x = (time: number) => left + ((time - shown.from) / (shown.to - shown.from)) * (width - left);
  return (
    <svg width={width} height={height} fontSize={11} fill={theme.colors.text.secondary}>
      {bounds.map(({ le }, row) => (row % Math.ceil(bounds.length / 8) === 0 || row === bounds.length - 1) && (
        <text key={le} x={left - 6} y={height - bottom - (row + 1) * tall + 6} textAnchor="end">{Number.isFinite(le) ? formattedValueToString(format(le)) : '+Inf'}</text>
      ))}
      {cells.map(({ time, row, count }) => (
        <rect key={`${time} ${row}`} x={x(time)} y={height - bottom - (row + 1) * tall} width={Math.max((step / (shown.to - shown.from)) * (width - left) - 1, 1)}
          height={Math.max(tall - 1, 1)} fill={theme.visualization.getColorByName('orange')} opacity={0.15 + 0.85 * (count / most)} />
      ))}
      {[0, 0.25, 0.5, 0.75, 1].map((part) => (
        <text key={part} x={left + part * (width - left)} y={height - 4} textAnchor={part === 0 ? 'start' : part === 1 ? 'end' : 'middle'}>
          {new Date(shown.from + part * (shown.to - shown.from)).toISOString().slice(11, 16)}
        </text>
      ))}
    </svg>
  );
}

const cell = (frame: DataFrame, name: string, row: number) => frame.fields.find((field) => field.name === name)?.values[row];

/** Nodes in columns by their distance from where messages begin. */
export function NodeGraph({ frames, width, height, theme, panel }: Drawn) {
  const edges = frames.find((frame) => frame.fields.some((field) => field.name === 'source'))!;
  const nodes = frames.find((frame) => !frame.fields.some((field) => field.name === 'source'))!;
  const links = Array.from({ length: edges.length }, (_, row) => ({
    source: cell(edges, 'source', row), target: cell(edges, 'target', row), main: cell(edges, 'mainstat', row),
    second: cell(edges, 'secondarystat', row), color: cell(edges, 'color', row), dash: cell(edges, 'strokedasharray', row),
  }));
  const ids: string[] = Array.from({ length: nodes.length }, (_, row) => cell(nodes, 'id', row));
  const incoming = new Set(links.map((link) => link.target));
  const depth = new Map<string, number>(ids.filter((id) => !incoming.has(id)).map((id) => [id, 0]));
  if (!depth.size) {
    depth.set(ids[0], 0);
  }
  for (let queue = [...depth.keys()]; queue.length; ) {
    const at = queue.shift()!;
    links.filter((link) => link.source === at && !depth.has(link.target)).forEach((link) => {
      depth.set(link.target, depth.get(at)! + 1);
      queue.push(link.target);
    });
  }
  ids.forEach((id) => depth.has(id) || depth.set(id, 0));
  const columns = Math.max(...depth.values()) + 1;
  const place = new Map(ids.map((id) => {
    const column = ids.filter((other) => depth.get(other) === depth.get(id));
    return [id, { x: ((depth.get(id)! + 0.5) / columns) * width, y: ((column.indexOf(id) + 0.5) / column.length) * height }];
  }));
  const format = getValueFormat(panel.options?.nodes?.mainStatUnit ?? 'short');
  const text = (value: unknown) => (typeof value === 'number' ? formattedValueToString(format(value)) : '');
  return (
    <svg width={width} height={height} fontSize={11} textAnchor="middle">
      {links.map((link, number) => {
        const [from, to] = [place.get(link.source)!, place.get(link.target)!];
        return <line key={number} x1={from.x} y1={from.y} x2={to.x} y2={to.y} strokeDasharray={link.dash || undefined}
          stroke={link.color ? theme.visualization.getColorByName(link.color) : theme.colors.border.strong} />;
      })}
      {ids.map((id, row) => {
        const { x, y } = place.get(id)!;
        const color = cell(nodes, 'color', row);
        return (
          <g key={id}>
            <circle cx={x} cy={y} r={20} fill={theme.colors.background.primary} strokeWidth={2}
              stroke={color ? theme.visualization.getColorByName(color) : theme.colors.text.link} />
            <text x={x} y={y + 4} fill={theme.colors.text.primary}>{text(cell(nodes, 'mainstat', row))}</text>
            <text x={x} y={y + 34} fill={theme.colors.text.primary}>{cell(nodes, 'title', row)}</text>
            <text x={x} y={y + 47} fill={theme.colors.text.secondary}>{cell(nodes, 'subtitle', row)}</text>
          </g>
        );
      })}
    </svg>
  );
}
