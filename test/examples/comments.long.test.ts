/** The examples in the comments of public code compile as programs of users do. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import t from 'tap'
import ts from 'typescript'

const root = fileURLToPath(new URL('../../', import.meta.url))

/** The sources of both packages. */
const sources = ['src', 'client'].flatMap(folder =>
  readdirSync(join(root, folder), { recursive: true, encoding: 'utf8' })
    .filter(file => /\.tsx?$/.test(file) && !/(^|\/)(node_modules|dist|playground|page)\//.test(file))
    .map(file => `${folder}/${file}`),
)

/** The examples of a source file, without the margin of their comments. */
function examplesOf(file: string): string[] {
  const text = readFileSync(join(root, file), 'utf8')
  return [...text.matchAll(/^ *\* @example\n *\* ```ts\n(.*?)^ *\* ```$/gms)].map(([, code = '']) =>
    code.replaceAll(/^ *\* ?/gm, ''),
  )
}

/** Where the entries of both packages lie. */
function entries(): Record<string, string[]> {
  const paths: Record<string, string[]> = {}
  for (const folder of ['', 'client/']) {
    const { name, exports } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    for (const [path, { types }] of Object.entries<{ types?: string }>(exports)) {
      if (types)
        paths[name + path.slice(1)] = [join(root, types.replace('./dist/', '').replace('.d.ts', '.ts'))]
    }
  }
  return paths
}

t.test('examples in comments compile', async t => {
  const { config } = ts.readConfigFile(join(root, 'client/tsconfig.json'), ts.sys.readFile)
  const { config: base } = ts.readConfigFile(join(root, 'tsconfig.json'), ts.sys.readFile)
  const { options } = ts.convertCompilerOptionsFromJson(
    { ...base.compilerOptions, ...config.compilerOptions, noUnusedLocals: false },
    root,
  )
  // They lie in the repository, so that they find its packages, and only in the memory of the compiler.
  const programs = new Map(
    sources.flatMap(file =>
      examplesOf(file).map(
        (code, i) => [join(root, `${file.replaceAll('/', '-')}.example-${i}.ts`), code] as const,
      ),
    ),
  )
  t.ok(programs.size >= 20, `${programs.size} examples`)
  const host = ts.createCompilerHost(options)
  const { readFile, fileExists, getSourceFile } = host
  host.readFile = file => programs.get(file) ?? readFile(file)
  host.fileExists = file => programs.has(file) || fileExists(file)
  host.getSourceFile = (file, language, ...rest) => {
    const code = programs.get(file)
    return code === undefined
      ? getSourceFile(file, language, ...rest)
      : ts.createSourceFile(file, code, language)
  }
  const program = ts.createProgram([...programs.keys()], { ...options, paths: entries() }, host)
  for (const file of programs.keys()) {
    const source = program.getSourceFile(file)
    const complaints = [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
    t.same(
      complaints.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n')),
      [],
      file.slice(root.length),
    )
  }
})
