/** Bundles the page of an example with esbuild: `main.js`, `main.css` and `index.html`, without hashes in their names. */
import { existsSync } from 'node:fs'
import { cp, mkdir, readFile, writeFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'
import { licensesOf } from './licenses.ts'
import { aboutOf } from './list.ts'

const at = (path: string) => fileURLToPath(new URL(path, import.meta.url))

/**
 * Builds `examples/<name>/page`, and resolves with the folder that has the result, the samples of the example included.
 * @param folder default `examples/<name>/dist`, which Git ignores
 * @param sourcemap for those who debug the page; default true
 */
export async function buildPage(
  name: string,
  folder = at(`./${name}/dist`),
  { sourcemap = true } = {},
): Promise<string> {
  await mkdir(folder, { recursive: true })
  const samples = at(`./${name}/samples`)
  const [{ metafile }] = await Promise.all([
    build({
      entryPoints: { main: at(`./${name}/page/main.tsx`) },
      outdir: folder,
      bundle: true,
      metafile: true,
      format: 'esm',
      target: 'es2022',
      minify: true,
      ...(sourcemap && { sourcemap: 'linked' }),
      // Its `paths` lead from the packages' names to their sources in this repository.
      tsconfig: at('./tsconfig.json'),
      define: { 'process.env.NODE_ENV': '"production"' },
      logLevel: 'warning',
    }),
    writeShell(name, folder),
    existsSync(samples) && cp(samples, `${folder}/samples`, { recursive: true }),
  ])
  await writeFile(`${folder}/licenses.md`, licensesOf(metafile, process.cwd()))
  return folder
}

/** The page without its content: the same for all examples, but for the title. */
async function writeShell(name: string, folder: string): Promise<void> {
  const shell = await readFile(at('./shared/page.html'), 'utf8')
  const { title } = aboutOf(import.meta.dirname, name)
  await writeFile(`${folder}/index.html`, shell.replace('%TITLE%', title))
}
