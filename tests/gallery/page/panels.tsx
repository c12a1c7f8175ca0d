// The panels that @grafana/ui has components for: graphs, single numbers, bars and tables.
import {
  DataFrame, dateTime, DisplayProcessor, FieldDisplay, getFieldDisplayValues, GrafanaTheme2, renderMarkdown, TimeRange,
  VizOrientation,
} from '@grafana/data';
import { BarGauge, BigValue, BigValueTextMode, TimeSeries, UPlotConfigBuilder, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';
import React from 'react';
import { Heatmap, NodeGraph, StateTimeline } from './drawn';
import { Mark, Panel, Shown } from './model';

export interface Drawn {
  panel: Panel;
  frames: DataFrame[];
  width: number;
  height: number;
  theme: GrafanaTheme2;
  shown: Shown;
}

const rangeOf = ({ from, to }: Shown): TimeRange => ({ from: dateTime(from), to: dateTime(to), raw: { from: dateTime(from), to: dateTime(to) } });

/** Draw a line where each run of points of an annotation begins, as Grafana does. */
function withMarks(builder: UPlotConfigBuilder, marks: Mark[], theme: GrafanaTheme2): null {
  builder.addHook('draw', (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    ctx.setLineDash([4 * devicePixelRatio, 4 * devicePixelRatio]);
    ctx.lineWidth = devicePixelRatio;
    for (const mark of marks) {
      ctx.strokeStyle = theme.visualization.getColorByName(mark.color);
      for (const { values = [] } of mark.result) {
        values.forEach(([seconds], number) => {
          if (number > 0 && seconds - values[number - 1][0] <= 60) {
            return;
          }
          const x = Math.round(plot.valToPos(seconds * 1000, 'x', true));
          if (x < bbox.left || x > bbox.left + bbox.width) {
            return;
          }
          ctx.beginPath();
          ctx.moveTo(x, bbox.top);
          ctx.lineTo(x, bbox.top + bbox.height);
          ctx.stroke();
        });
      }
    }
    ctx.restore();
  });
  return null;
}

function Graph({ panel, frames, width, height, theme, shown }: Drawn) {
  const { legend } = panel.options ?? {};
  for (const field of frames.flatMap((frame) => frame.fields)) {
    // As Grafana does: a graph has no place for them.
    field.values = field.values.map((value) => (typeof value === 'number' && !Number.isFinite(value) ? null : value));
  }
  return (
    <TimeSeries frames={frames} width={width} height={height} timeRange={rangeOf(shown)} timeZone="utc"
      legend={legend ?? { showLegend: true, displayMode: 'list', placement: 'bottom', calcs: [] }}>
      {(builder: UPlotConfigBuilder) => withMarks(builder, shown.marks, theme)}
    </TimeSeries>
  );
}

function valuesOf({ panel, frames, theme }: Drawn): FieldDisplay[] {
  return getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: panel.options?.reduceOptions ?? { calcs: ['lastNotNull'], values: false },
    replaceVariables: (text: string) => text,
    theme, data: frames, timeZone: 'utc',
  });
}

function Repeated(props: Drawn & { orientation: VizOrientation; draw: (value: FieldDisplay, width: number, height: number, count: number) => React.ReactElement }) {
  return (
    <VizRepeater source={props} getValues={() => valuesOf(props)} orientation={props.orientation} width={props.width}
      height={props.height} renderCounter={0} itemSpacing={3} autoGrid={false}
      renderValue={({ value, width, height, count }) => props.draw(value, width, height, count)} />
  );
}

function Stat(props: Drawn) {
  const { colorMode, graphMode, textMode, justifyMode } = props.panel.options;
  return <Repeated {...props} orientation={VizOrientation.Auto} draw={(value, width, height, count) => (
    <BigValue value={value.display} width={width} height={height} count={count} theme={props.theme} colorMode={colorMode}
      graphMode={graphMode} textMode={textMode ?? BigValueTextMode.Auto} justifyMode={justifyMode ?? 'auto'} />
  )} />;
}

function Bars(props: Drawn) {
  const { displayMode, orientation } = props.panel.options;
  return <Repeated {...props} orientation={orientation} draw={(value, width, height) => (
    <BarGauge value={value.display} width={width} height={height} theme={props.theme} field={value.field}
      display={value.view?.getFieldDisplayProcessor(value.colIndex!) as DisplayProcessor} orientation={orientation}
      displayMode={displayMode} showUnfilled itemSpacing={10} lcdCellWidth={8} />
  )} />;
}

function Cells({ panel, frames, width, height }: Drawn) {
  return <TableNG data={frames[0]} width={width} height={height} sortBy={panel.options?.sortBy} enableVirtualization={false} />;
}

const Words = ({ panel }: Drawn) => <div className="markdown-html" dangerouslySetInnerHTML={{ __html: renderMarkdown(panel.options.content) }} />;

const KINDS: Record<string, React.ComponentType<Drawn>> = {
  timeseries: Graph, stat: Stat, bargauge: Bars, table: Cells, text: Words,
  heatmap: Heatmap, 'state-timeline': StateTimeline, nodeGraph: NodeGraph,
};

/** A panel's contents; without data they say what Grafana says. */
export function Contents(props: Drawn) {
  const { panel, frames } = props;
  const Kind = KINDS[panel.type];
  if (!Kind || (!frames.length && panel.type !== 'text' && panel.type !== 'stat')) {
    return <div className="empty">{Kind ? (panel.fieldConfig?.defaults?.noValue ?? 'No data') : `needs ${panel.type} from another data source`}</div>;
  }
  return <Kind {...props} />;
}
