// Answers of Prometheus as data frames, in the way of Grafana's data source.
import { DataFrame, FieldType, toDataFrame } from '@grafana/data';
import { Answer, Series } from './model';

function valueOf(text: string | null): number | null {
  return text === null ? null : Number(text.replace('Inf', 'Infinity'));
}

function nameOf(answer: Answer, labels: Record<string, string>): string | undefined {
  if (answer.legend === '__auto') {
    return undefined;
  }
  return answer.legend.replace(/\{\{\s*(.+?)\s*\}\}/g, (_, label) => labels[label] ?? '');
}

/** Insert a point without a value where one is missing, so that no line crosses the gap. */
function withGaps(points: Array<[number, string]>, step: number): Array<[number, string | null]> {
  return points.flatMap(([seconds, text], number) =>
    number > 0 && seconds - points[number - 1][0] > step * 1.5 ? [[points[number - 1][0] + step, null], [seconds, text]] : [[seconds, text]]
  );
}

function frameOfSeries(answer: Answer, series: Series): DataFrame {
  const { __name__: _, ...labels } = series.metric;
  const points = series.values ? withGaps(series.values, answer.stepMs / 1000) : [series.value!];
  return toDataFrame({
    refId: answer.refId,
    fields: [
      {
        name: 'Time',
        type: FieldType.time,
        config: { interval: answer.stepMs },
        values: points.map(([seconds]) => seconds * 1000),
      },
      {
        name: 'Value',
        type: FieldType.number,
        labels,
        config: { displayNameFromDS: nameOf(answer, labels) },
        values: points.map(([, text]) => valueOf(text)),
      },
    ],
  });
}

function tableOf(answer: Answer, alone: boolean): DataFrame {
  const labels = [...new Set(answer.result.flatMap((each) => Object.keys(each.metric)))].sort();
  const fields = labels.map((label) => ({
    name: label,
    type: FieldType.string,
    values: answer.result.map((each) => each.metric[label] ?? ''),
  }));
  return toDataFrame({
    refId: answer.refId,
    fields: [
      { name: 'Time', type: FieldType.time, values: answer.result.map((each) => each.value![0] * 1000) },
      ...fields,
      {
        name: alone ? 'Value' : `Value #${answer.refId}`,
        type: FieldType.number,
        values: answer.result.map((each) => valueOf(each.value![1])),
      },
    ],
  });
}

/** Return the frames of a panel's answers. */
export function framesOf(answers: Answer[]): DataFrame[] {
  return answers.flatMap((answer) => {
    if (answer.format === 'table') {
      return answer.result.length ? [tableOf(answer, answers.length === 1)] : [];
    }
    return answer.result.map((series) => frameOfSeries(answer, series));
  });
}
